/** Your handlers, by the name that `HANDLERS` uses. To add one: write it beside `sample.ts` and name it here. */
import type { Handler } from './handler.ts'
import { sample } from './sample.ts'

export const handlers: Readonly<Record<string, Handler>> = { sample }
