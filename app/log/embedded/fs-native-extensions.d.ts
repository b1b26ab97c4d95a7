/** The one function used of a package that ships no types. */
declare module 'fs-native-extensions' {
  /** Takes an exclusive kernel lock on the open file; false when another open file holds it. */
  export function tryLock(fd: number): boolean
}
