/** `npm run docs`: writes the generated parts of the documentation, between their marks. */
import { readFileSync, writeFileSync } from 'node:fs'
import { configTable } from '../app/config.ts'

const README = new URL('../README.md', import.meta.url)
const CONFIG = /(<!-- config -->\n)[\s\S]*(<!-- \/config -->)/

/** The README with its configuration table as the schema has it now. */
export function renderReadme(readme: string): string {
  return readme.replace(CONFIG, (_, begin: string, end: string) => `${begin}${configTable()}\n${end}`)
}

if (process.argv[1] === import.meta.filename) writeFileSync(README, renderReadme(readFileSync(README, 'utf8')))
