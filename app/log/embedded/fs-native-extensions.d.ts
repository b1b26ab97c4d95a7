/** The one function that we use of a package without types. */
declare module 'fs-native-extensions' {
  /**
   * Takes a kernel lock on the open file; false when another open file holds it. `shared`: other holders may share it,
   * and the file may be open for reading only. Default: exclusive.
   */
  export function tryLock(fd: number, options?: { readonly shared?: boolean }): boolean
}
