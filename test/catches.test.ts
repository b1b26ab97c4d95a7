/**
 * Every `catch` in app/ stands in docs/decisions/0026-who-hears-of-a-failure.md with who hears of the failure. A new one
 * that is not listed fails here, and so does a line of the page whose `catch` is gone.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseSync } from '@swc/core'
import { expect, test } from 'vitest'

const PROJECT = resolve(import.meta.dirname, '..')
const PAGE = 'docs/decisions/0026-who-hears-of-a-failure.md'

interface Node {
  readonly type: string
  readonly [member: string]: unknown
}

/** A place that catches: its file, and the function around it. */
interface Catch {
  readonly file: string
  readonly within: string
  /** Whether what was caught is dropped: neither used nor replaced by another error. */
  readonly silent: boolean
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && typeof (value as Node).type === 'string'
}

/** The nodes right below; what has no type of its own, as an argument or the function of a method, is looked through. */
function children(value: object): Node[] {
  return Object.values(value).flatMap((one: unknown) => {
    if (isNode(one)) return [one]
    return typeof one === 'object' && one !== null ? children(one) : []
  })
}

function some(node: Node, found: (node: Node) => boolean): boolean {
  return found(node) || children(node).some((child) => some(child, found))
}

function nameOf(node: unknown): string | undefined {
  const { type, value, id } = (node ?? {}) as { type?: string; value?: unknown; id?: unknown }
  if (type === 'PrivateName') return `#${String(value)}`
  if (type === 'PrivateProperty') return nameOf(id)
  return typeof value === 'string' ? value : undefined
}

/** The name that a function, method or constant gives to what is in it; undefined for what has none. */
function nameGivenBy(node: Node): string | undefined {
  switch (node.type) {
    case 'FunctionDeclaration':
    case 'ClassDeclaration':
      return nameOf(node.identifier)
    case 'ClassMethod':
    case 'PrivateMethod':
    case 'ClassProperty':
    case 'PrivateProperty':
    case 'MethodProperty':
      return nameOf(node.key)
    case 'Constructor':
      return 'constructor'
    case 'VariableDeclarator': {
      const init = node.init as Node | null
      return init?.type === 'ArrowFunctionExpression' ? nameOf(node.id) : undefined
    }
    default:
      return undefined
  }
}

function isSilent(param: Node | undefined, body: Node): boolean {
  if (some(body, ({ type }) => type === 'ThrowStatement')) return false
  const name = nameOf(param?.type === 'Parameter' ? param.pat : param)
  return name === undefined || !some(body, (node) => node.type === 'Identifier' && node.value === name)
}

function* catchesIn(node: Node, file: string, within: readonly string[]): Generator<Catch> {
  const name = nameGivenBy(node)
  const inside = name === undefined ? within : [...within, name]
  const found = (silent: boolean): Catch => ({ file, within: inside.join('.') || 'module', silent })
  if (node.type === 'CatchClause') yield found(isSilent(node.param as Node | undefined, node.body as Node))
  if (node.type === 'CallExpression') {
    const callee = node.callee as Node
    const [first] = node.arguments as { expression: Node }[]
    if (callee.type === 'MemberExpression' && nameOf(callee.property) === 'catch' && first) {
      const handler = first.expression
      const { params = [], body } = handler as { params?: Node[]; body?: Node }
      // Of a function that is named, its own lines say what it does.
      yield found(handler.type === 'ArrowFunctionExpression' && body !== undefined && isSilent(params[0], body))
    }
  }
  for (const child of children(node)) yield* catchesIn(child, file, inside)
}

function catchesOf(source: string, file: string): Catch[] {
  return [...catchesIn(parseSync(source, { syntax: 'typescript', target: 'es2022' }) as unknown as Node, file, [])]
}

const files = readdirSync(join(PROJECT, 'app'), { recursive: true, encoding: 'utf8' })
  .filter((file) => (file.endsWith('.ts') || file.endsWith('.js')) && !file.startsWith('json/assembly'))
  .map((file) => join('app', file))
  .sort()
const catches = files.flatMap((file) => catchesOf(readFileSync(join(PROJECT, file), 'utf8'), file))

/** Rows of the page: `file`, `function`, how many, who hears. */
const rows = [
  ...readFileSync(join(PROJECT, PAGE), 'utf8').matchAll(/^\| `(app\/[^`]+)` \| `([^`]+)` \| (\d+) \| (.+) \|$/gm),
].map(([, file = '', within = '', count, hears = '']) => ({ place: `${file}: ${within}`, count: Number(count), hears }))

test('every catch is listed with who hears of the failure, and nothing else is', () => {
  const found = new Map<string, number>()
  for (const { file, within } of catches) {
    const place = `${file}: ${within}`
    found.set(place, (found.get(place) ?? 0) + 1)
  }
  expect(catches.length).toBeGreaterThan(100)
  expect(
    Object.fromEntries(rows.map(({ place, count }) => [place, count])),
    `${PAGE}: add a row for each new catch, with who hears of it; delete the rows of those that are gone`,
  ).toEqual(Object.fromEntries(found))
})

test('a catch that drops what it caught says why nobody has to hear of it, and only such a one does', () => {
  const silent = new Set(catches.filter((one) => one.silent).map(({ file, within }) => `${file}: ${within}`))
  expect(silent.size).toBeGreaterThan(10)
  const claimed = rows.filter(({ hears }) => hears.includes('nobody: ')).map(({ place }) => place)
  expect(claimed.sort()).toEqual([...silent].sort())
})

test.each([
  ['try { f() } catch {}', true],
  ['try { f() } catch (error) { g() }', true],
  ['f().catch(() => undefined)', true],
  ['f().catch((error) => undefined)', true],
  ['try { f() } catch { throw new Error("no f") }', false],
  ['try { f() } catch (error) { log(error) }', false],
  ['try { f() } catch (error) { if (code(error) !== "ENOENT") throw error }', false],
  ['f().catch((error) => reply.send(error))', false],
  ['f().catch(reject)', false],
])('%s is silent: %s', (source, silent) => {
  expect(catchesOf(source, 'app/x.ts').map((one) => one.silent)).toEqual([silent])
})
