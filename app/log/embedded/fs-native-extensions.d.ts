/** The one function used of a package that ships no types. */
declare module 'fs-native-extensions' {
  /**
   * Takes a kernel lock on the open file; false when another open file holds it. `shared`: beside others that share it, and the file
   * need only be open for reading. Default: exclusive.
   */
  export function tryLock(fd: number, options?: { readonly shared?: boolean }): boolean
}
