/** `--import`ed into the service: Date, and only Date, is off by what the file in CLOCK_FILE says, in milliseconds. */
import { readFileSync } from 'node:fs'

const file = process.env.CLOCK_FILE ?? ''
const now = Date.now.bind(Date)
let offsetMs = 0

function look(): void {
  try {
    offsetMs = Number(readFileSync(file, 'utf8'))
  } catch {}
}
look()
setInterval(look, 20).unref()
Date.now = () => now() + offsetMs
const RealDate = Date
globalThis.Date = new Proxy(RealDate, {
  construct: (target, args, self) => Reflect.construct(target, args.length === 0 ? [Date.now()] : args, self),
})
