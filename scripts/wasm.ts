/** `npm run wasm [file]`: compiles the scanner, app/json/assembly/scanner.ts → app/json/scanner.wasm, which is checked in. */
import asc from 'assemblyscript/asc'

const [to = 'app/json/scanner.wasm'] = process.argv.slice(2)
const OPTIONS = '-O3 --converge --enable simd --runtime stub --noAssert --importMemory --noExportMemory'
const { error, stderr } = await asc.main(['app/json/assembly/scanner.ts', '-o', to, ...OPTIONS.split(' ')])
if (error) {
  console.error(`${stderr}${error.message}`)
  process.exitCode = 1
}
