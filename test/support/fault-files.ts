/**
 * A file system in memory that keeps synced data, and nothing else that a real one may lose.
 *
 *     write, truncate ─▶ what reads see ─(the sync in a write, or fdatasync)─▶ durable
 *     create, rename, remove ─▶ names that are seen ─(fsync of the directory)─▶ durable
 *
 * A crash keeps durable data. For everything else, the seed decides, in any combination. Each write is kept completely,
 * in part, as zeros or not at all, and each name is as before or as after. A failed sync makes the same choice and
 * marks the rest as clean, as Linux does: reads still see it, and the next sync succeeds without writing it.
 */
import { dirname } from 'node:path'
import type { File, Files } from '../../app/log/embedded/files.ts'

type Change = { readonly position: number; readonly bytes: Buffer } | { readonly size: number }

interface Inode {
  /** What reads see. */
  seen: Buffer
  durable: Buffer
  /** Since the last sync. */
  changes: Change[]
}

type Rename = { readonly from?: string; readonly to?: string; readonly inode: Inode }

export type Fault = 'EIO' | 'ENOSPC' | 'short'
type Call = 'write' | 'writeback' | 'datasync' | 'truncate' | 'create' | 'rename' | 'remove' | 'syncDirectory'

/**
 * What can fail how: only a write is short. Its sync is `writeback`: a file system that is asked over a network may
 * lack space no sooner.
 */
const FAULTS: Readonly<Record<Call, readonly Fault[]>> = {
  write: ['EIO', 'ENOSPC', 'short'],
  writeback: ['EIO', 'ENOSPC'],
  datasync: ['EIO'],
  truncate: ['EIO'],
  create: ['EIO', 'ENOSPC'],
  rename: ['EIO', 'ENOSPC'],
  remove: ['EIO', 'ENOSPC'],
  syncDirectory: ['EIO', 'ENOSPC'],
}

export class FaultFiles implements Files {
  /** Calls until the crash; undefined: none is planned. */
  crashAfterCalls: number | undefined
  /** Kinds that happen now, each with this chance at every call that can fail so. */
  faults: readonly Fault[] = []
  faultChance = 0.3
  /** Faults there were, and changes that a crash did not keep whole. */
  injected = 0
  forgotten = 0
  #crashed = false
  #onCrash: () => void = () => undefined
  #random: () => number
  #names = new Map<string, Inode>()
  #durableNames = new Map<string, Inode>()
  readonly #renames = new Map<string, Rename[]>()
  readonly #locks = new Set<string>()

  constructor(seed: number) {
    this.#random = mulberry32(seed)
  }

  /** Resolves at the crash: no call that was made before it returns after it. */
  crashed(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#crashed) resolve()
      else this.#onCrash = resolve
    })
  }

  /** After a crash. @param power whether the machine went off: if it did not, only the process is gone. */
  restart(power: boolean): void {
    this.#locks.clear()
    this.#crashed = false
    this.crashAfterCalls = undefined
    if (!power) return
    for (const renames of this.#renames.values()) this.#settleNames(renames)
    this.#renames.clear()
    for (const inode of new Set(this.#durableNames.values())) this.#settleBytes(inode)
    this.#names = new Map(this.#durableNames)
    for (const inode of this.#names.values()) inode.seen = Buffer.from(inode.durable)
  }

  /** What is durable, by path: to be changed as a disk, or a person, changes it. */
  snapshot(): Map<string, Buffer> {
    return new Map([...this.#durableNames].map(([path, { durable }]) => [path, Buffer.from(durable)]))
  }

  /** What reads see, by path: the same after a stop of the process alone. */
  content(): Map<string, Buffer> {
    return new Map([...this.#names].map(([path, { seen }]) => [path, Buffer.from(seen)]))
  }

  static of(content: ReadonlyMap<string, Buffer>, seed = 0): FaultFiles {
    const files = new FaultFiles(seed)
    for (const [path, durable] of content) files.#durableNames.set(path, { seen: durable, durable, changes: [] })
    files.restart(true)
    return files
  }

  async open(path: string, mode: 'read' | 'write' | 'create'): Promise<File> {
    let inode = this.#names.get(path)
    if (mode === 'create') {
      await this.#call('create')
      if (inode !== undefined) throw systemError('EEXIST', path)
      inode = { seen: Buffer.alloc(0), durable: Buffer.alloc(0), changes: [] }
      this.#names.set(path, inode)
      this.#rename({ to: path, inode })
    }
    if (inode === undefined) throw systemError('ENOENT', path)
    return this.#file(inode)
  }

  async list(directory: string): Promise<string[]> {
    const prefix = `${directory}/`
    const below = [...this.#names.keys()].filter((path) => path.startsWith(prefix))
    return below.map((path) => path.slice(prefix.length)).filter((name) => !name.includes('/'))
  }

  async makeDirectory(): Promise<void> {}

  async rename(from: string, to: string): Promise<void> {
    await this.#call('rename')
    const inode = this.#names.get(from)
    if (inode === undefined) throw systemError('ENOENT', from)
    this.#names.delete(from)
    this.#names.set(to, inode)
    this.#rename({ from, to, inode })
  }

  async remove(path: string): Promise<void> {
    const inode = this.#names.get(path)
    if (inode === undefined) throw systemError('ENOENT', path)
    await this.#call('remove')
    this.#names.delete(path)
    this.#rename({ from: path, inode })
  }

  async syncDirectory(directory: string): Promise<void> {
    await this.#call('syncDirectory') // a journal that could not be written is still to be written
    for (const rename of this.#renames.get(directory) ?? []) applyRename(this.#durableNames, rename)
    this.#renames.delete(directory)
  }

  async lock(path: string): Promise<{ release(): Promise<void> } | undefined> {
    if (this.#locks.has(path)) return undefined
    this.#locks.add(path)
    return { release: async () => void this.#locks.delete(path) }
  }

  #file(inode: Inode): File {
    return {
      read: async (buffer, offset, length, position) => {
        await this.#call()
        return inode.seen.copy(buffer, offset, position, Math.min(position + length, inode.seen.length))
      },
      write: async (buffer, offset, length, position) => {
        const fault = await this.#call('write')
        const written = fault === 'short' ? Math.max(1, Math.floor(length * this.#random())) : length
        const bytes = Buffer.from(buffer.subarray(offset, offset + written))
        inode.seen = applyChange(inode.seen, { position, bytes })
        inode.changes.push({ position, bytes })
        await this.#sync(inode, 'writeback')
        return written
      },
      truncate: async (size) => {
        await this.#call('truncate')
        inode.seen = applyChange(inode.seen, { size })
        inode.changes.push({ size })
      },
      datasync: () => this.#sync(inode, 'datasync'),
      stat: async () => ({ size: inode.seen.length, mtimeMs: 0 }),
      close: async () => undefined,
    }
  }

  async #sync(inode: Inode, call: Call): Promise<void> {
    try {
      await this.#call(call)
    } catch (error) {
      this.#settleBytes(inode)
      throw error
    }
    for (const change of inode.changes) inode.durable = applyChange(inode.durable, change)
    inode.changes = []
  }

  /** Every call passes here: the crash comes between two of them. */
  async #call(call?: Call): Promise<'short' | undefined> {
    if (this.crashAfterCalls !== undefined && this.crashAfterCalls-- <= 0) {
      this.#crashed = true
      this.#onCrash()
    }
    if (this.#crashed) await new Promise(() => undefined) // nobody is there any more to get an answer
    if (call === undefined || this.faults.length === 0) return undefined
    const possible = FAULTS[call].filter((fault) => this.faults.includes(fault))
    if (possible.length === 0 || this.#random() >= this.faultChance) return undefined
    this.injected += 1
    const fault = possible[Math.floor(this.#random() * possible.length)]
    if (fault === 'short') return 'short'
    throw systemError(fault ?? 'EIO', call)
  }

  #rename(rename: Rename): void {
    const directory = dirname(rename.to ?? rename.from ?? '')
    const renames = this.#renames.get(directory) ?? []
    renames.push(rename)
    this.#renames.set(directory, renames)
  }

  #settleNames(renames: readonly Rename[]): void {
    for (const rename of renames) {
      if (this.#random() < 0.5) applyRename(this.#durableNames, rename)
      else this.forgotten += 1
    }
  }

  #settleBytes(inode: Inode): void {
    for (const change of inode.changes) {
      const kept = this.#keep(change, inode.durable.length)
      if (kept !== change) this.forgotten += 1
      if (kept) inode.durable = applyChange(inode.durable, kept)
    }
    inode.changes = []
  }

  /** @param size that is durable: what is behind it may get its blocks without their data. */
  #keep(change: Change, size: number): Change | undefined {
    const chance = this.#random()
    if (chance < 0.25) return undefined
    if (chance < 0.5 || 'size' in change) return change
    const { position, bytes } = change
    if (chance < 0.6 && position >= size) return { position, bytes: Buffer.alloc(bytes.length) }
    const from = Math.floor(this.#random() * bytes.length)
    if (chance < 0.7) return { position: position + from, bytes: bytes.subarray(from) } // the later pages only
    return { position, bytes: bytes.subarray(0, from) }
  }
}

/** @param content changed in place when it does not grow. */
function applyChange(content: Buffer, change: Change): Buffer {
  if ('size' in change) {
    const cut = Buffer.alloc(change.size)
    content.copy(cut)
    return cut
  }
  const { position, bytes } = change
  if (position + bytes.length <= content.length) {
    bytes.copy(content, position)
    return content
  }
  const grown = Buffer.alloc(position + bytes.length)
  content.copy(grown)
  bytes.copy(grown, position)
  return grown
}

function applyRename(names: Map<string, Inode>, { from, to, inode }: Rename): void {
  if (from !== undefined && names.get(from) === inode) names.delete(from)
  if (to !== undefined) names.set(to, inode)
}

function systemError(code: string, what: string): Error {
  return Object.assign(new Error(`${code}: ${what}`), { code })
}

/** A small generator of numbers from 0 to 1: the same ones for the same seed. */
function mulberry32(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
