/** A version 0.2.0 that nobody has released: the built package with notes, and another format of consumers.json (version 3). */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import packageJson from '../../package.json' with { type: 'json' }
import upgradeNotes from '../../upgrade-notes.json' with { type: 'json' }

const NOTES = {
  versions: [
    ...upgradeNotes.versions,
    {
      version: '0.2.0',
      changes: [
        { kind: 'variable', name: 'FILE_SINK_DIR', what: 'renamed to FILE_SINK_DIRECTORY', fix: 'set that one' },
        { kind: 'config key', name: 'nowhereUsed', what: 'removed', fix: 'remove it' },
        { kind: 'format', name: 'log/consumers.json', what: 'version 3, with another checksum', rollBack: 'refused' },
      ],
    },
  ],
}

/** What `upgrade --check` says of it in a project that has FILE_SINK_DIR in millrace.config.ts. */
export const TOLD_OF_NEXT_VERSION = [
  '0.2.0  variable FILE_SINK_DIR: renamed to FILE_SINK_DIRECTORY · set that one · found in millrace.config.ts',
  '0.2.0  config key nowhereUsed: removed · remove it',
  '0.2.0  format log/consumers.json: version 3, with another checksum · a return to the version before is refused at its start',
  '0.1.0 → 0.2.0: 3 changes, 1 of them to do before the start',
]

/** Makes that version of the package in `directory`, which is this version as it is built or packed. */
export function makeNextVersion(directory: string): void {
  const edit = (file: string, edits: readonly (readonly [string, string])[]) => {
    let text = readFileSync(join(directory, file), 'utf8')
    for (const [from, to] of edits) {
      if (!text.includes(from)) throw new Error(`${file} has no "${from}"`)
      text = text.replace(from, to)
    }
    writeFileSync(join(directory, file), text)
  }
  edit('package.json', [[`"version": "${packageJson.version}"`, '"version": "0.2.0"']])
  edit('app/log/embedded/consumer-store.js', [
    ['const VERSION = 2', 'const VERSION = 3'],
    ['version === 1', 'version <= 2'],
    ['crc32(JSON.stringify(consumers))', "crc32(JSON.stringify(consumers) + '3')"],
  ])
  writeFileSync(join(directory, 'upgrade-notes.json'), JSON.stringify(NOTES))
}
