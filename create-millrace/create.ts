#!/usr/bin/env node
/**
 * `npm create millrace <directory>`: a project around Millrace, from the files in `template/`. It installs nothing and asks
 * nothing: what it could ask has a default that is one line in a file. Runs on the Node that is there, which may be older than
 * the one that Millrace needs.
 *
 * Exit codes: 0 made · 2 wrong command, or a directory that has files already.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const USAGE = 'usage: npm create millrace <directory>'
const TEMPLATE = fileURLToPath(new URL('./template', import.meta.url))
/** npm leaves a .gitignore out of a package. */
const RENAMED = [['gitignore', '.gitignore']] as const
/** https://docs.npmjs.com/cli/configuring-npm/package-json#name, without a scope. */
const PACKAGE_NAME = /^[a-z0-9][a-z0-9._-]{0,213}$/

const [given, ...others] = process.argv.slice(2)
if (given === undefined || given.startsWith('-') || others.length > 0) fail(USAGE)
const directory = resolve(given)
const name = basename(directory)
if (!PACKAGE_NAME.test(name)) {
  fail(`${JSON.stringify(name)} is no name for a package: use lower-case letters, digits, "-", "_" and "."`)
}
if (existsSync(directory) && readdirSync(directory).length > 0) {
  fail(`${given} has files already: name a directory that is new or empty`)
}

mkdirSync(directory, { recursive: true })
cpSync(TEMPLATE, directory, { recursive: true })
for (const [from, to] of RENAMED) renameSync(join(directory, from), join(directory, to))
for (const file of ['package.json', 'cdktf.json']) {
  const path = join(directory, file)
  writeFileSync(path, readFileSync(path, 'utf8').replace('my-pipeline', name))
}
process.stdout.write(`${name} is made. Next:

  cd ${given}
  npm install
  npm start

README.md there says what each file is for.
`)

function fail(message: string): never {
  process.stderr.write(`${message}\n`)
  process.exit(2)
}
