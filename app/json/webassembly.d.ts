/**
 * The part of WebAssembly that is used here (https://www.w3.org/TR/wasm-js-api-2/). TypeScript has these types only
 * together with all browser types.
 */
declare namespace WebAssembly {
  class Module {
    constructor(bytes: Uint8Array)
  }
  class Memory {
    /** @param options.initial pages of 64 KiB. */
    constructor(options: { initial: number })
    readonly buffer: ArrayBuffer
  }
  class Instance {
    constructor(module: Module, imports: Record<string, Record<string, unknown>>)
    readonly exports: Record<string, unknown>
  }
}
