import { join } from 'node:path'
import { describe } from 'vitest'
import { openLog } from '../../support/delivery.ts'
import { logConformance } from '../../support/log-conformance.ts'
import { temporaryDirectory } from '../../support/temporary.ts'

describe('the embedded log', () => {
  const directories = new Map<string, string>()
  const open = (name: string) => {
    const directory = directories.get(name) ?? join(temporaryDirectory(), name)
    directories.set(name, directory)
    return openLog(directory)
  }
  logConformance(() => ({ open, openDeadLetters: open, propertyRuns: 50 }))
})
