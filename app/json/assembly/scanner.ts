/**
 * The scanner itself, in AssemblyScript: `npm run wasm` compiles it to ../scanner.wasm. Its caller is ../scanner.ts,
 * which lays out the memory and documents its content.
 *
 *     input ─scan─▶ places of texts and members ─fill─▶ output: one line a text, missing members filled in
 *
 * Grammar: RFC 8259, as V8's JSON.parse accepts it. Strings are scanned 16 bytes at a time (128-bit SIMD).
 * After the input there are at least 16 zeros. A zero is not valid anywhere, so no loop has to check for the end.
 */

// ---- Memory: addresses of all parts; set by `layout`.

/** Table of numbered names: each slot has 16 bytes of name, its length, its number. Open addressing. */
const SLOTS: usize = 64
const SLOT_BYTES: usize = 24
const NAMES: usize = 1024
/** For each numbered name: position and length of the member to add if it is missing; length 0: none. */
const DEFAULTS: usize = NAMES + SLOTS * SLOT_BYTES
/** One byte for each open level: whether it is an object or an array. */
let stack: usize = 0
let input: usize = 0
let places: usize = 0
let placesEnd: usize = 0
let output: usize = 0
let outputEnd: usize = 0

// ---- Content of `places`: four numbers about the scan, then for each text a head and its members.

const HEAD_BYTES: usize = 16
const MEMBER_BYTES: usize = 16
/** Most members that are listed for a text. */
const MAX_MEMBERS: i32 = 1024
/** Texts that are nested deeper are marked. `data` is level 1 below the text itself. */
let maxDepth: i32 = 0
/** Names whose value may be null, one bit each. */
let nullable: u32 = 0

/** Codes of other texts, in place of the number of members. */
const MALFORMED: i32 = -1
const NO_OBJECT: i32 = -2

/** Marks of a text, in bits 16–31. Bits 0–15 say which of the numbered names it has. */
const TOO_DEEP: u32 = 1
const TOO_MANY: u32 = 2
const HAS_NULL: u32 = 4
const NAME_TWICE: u32 = 8
/** A member whose name has no number. */
const HAS_OTHERS: u32 = 16

/** Marks of a member, beside the number of its name (bits 0–7) and the length of its name (bits 16–31). */
const MAX_NAMES: u32 = 16
const UNKNOWN_NAME: u32 = 0xff
/** The name is not plain: it has escapes, or characters other than printable ASCII. */
const ODD_NAME: u32 = 0x100
/** The value is a plain string: printable ASCII without escapes. */
const PLAIN_TEXT: u32 = 0x200

const QUOTE: u8 = 0x22
const BACKSLASH: u8 = 0x5c
const COMMA: u8 = 0x2c
const COLON: u8 = 0x3a
const NEWLINE: u8 = 0x0a
const MINUS: u8 = 0x2d
const OPEN_OBJECT: u8 = 0x7b
const CLOSE_OBJECT: u8 = 0x7d
const OPEN_ARRAY: u8 = 0x5b
const CLOSE_ARRAY: u8 = 0x5d

/** A line break is white space within a text. In NDJSON it ends a line, and then this is set to a space. */
let lineBreak: u8 = NEWLINE
let deepest: i32 = 0

export function layout(
  stackAt: usize,
  inputAt: usize,
  placesAt: usize,
  placesTo: usize,
  outputAt: usize,
  outputTo: usize,
  depth: i32,
  mayBeNull: u32,
): void {
  stack = stackAt
  input = inputAt
  places = placesAt
  placesEnd = placesTo
  output = outputAt
  outputEnd = outputTo
  maxDepth = depth
  nullable = mayBeNull
}

// @ts-expect-error: decorators are AssemblyScript's
@inline function skipSpace(p: usize): usize {
  while (true) {
    const c = load<u8>(p)
    if (c > 0x20) return p
    if (c != 0x20 && c != lineBreak && c != 0x09 && c != 0x0d) return p
    p++
  }
}

// @ts-expect-error
@inline function isDigit(c: u8): bool {
  return <u8>(c - 0x30) < 10
}

function isHex(c: u8): bool {
  const lower = c | 0x20
  return isDigit(c) || (lower >= 0x61 && lower <= 0x66)
}

/** The position after the escape whose backslash is at `p`; 0 when the escape is invalid. */
function skipEscape(p: usize): usize {
  const c = load<u8>(p + 1)
  if (c == 0x75) {
    for (let i: usize = 2; i < 6; i++) if (!isHex(load<u8>(p + i))) return 0
    return p + 6
  }
  const isKnown =
    c == QUOTE || c == BACKSLASH || c == 0x2f || c == 0x62 || c == 0x66 || c == 0x6e || c == 0x72 || c == 0x74
  return isKnown ? p + 2 : 0
}

/** The position after the string whose content continues at `p`; 0 when it is malformed. */
// @ts-expect-error
@inline function skipString(p: usize): usize {
  while (true) {
    const bytes = v128.load(p)
    const special = v128.or(
      v128.or(i8x16.eq(bytes, i8x16.splat(0x22)), i8x16.eq(bytes, i8x16.splat(0x5c))),
      i8x16.lt_u(bytes, i8x16.splat(0x20)),
    )
    const found = i8x16.bitmask(special)
    if (found == 0) {
      p += 16
      continue
    }
    p += ctz(found)
    const c = load<u8>(p)
    if (c == QUOTE) return p + 1
    if (c != BACKSLASH) return 0
    p = skipEscape(p)
    if (p == 0) return 0
  }
  return 0
}

/** The first byte from `p` on that is not plain: the closing quote, if the whole string is plain. */
// @ts-expect-error
@inline function skipPlain(p: usize): usize {
  while (true) {
    const bytes = v128.load(p)
    // A signed comparison finds control characters and non-ASCII bytes.
    const special = v128.or(
      v128.or(i8x16.eq(bytes, i8x16.splat(0x22)), i8x16.eq(bytes, i8x16.splat(0x5c))),
      v128.or(i8x16.lt_s(bytes, i8x16.splat(0x20)), i8x16.eq(bytes, i8x16.splat(0x7f))),
    )
    const found = i8x16.bitmask(special)
    if (found != 0) return p + ctz(found)
    p += 16
  }
  return 0
}

function skipNumber(p: usize): usize {
  if (load<u8>(p) == MINUS) p++
  let c = load<u8>(p)
  if (c == 0x30) p++
  else {
    if (!isDigit(c)) return 0
    do p++
    while (isDigit(load<u8>(p)))
  }
  c = load<u8>(p)
  if (c == 0x2e) {
    p++
    if (!isDigit(load<u8>(p))) return 0
    do p++
    while (isDigit(load<u8>(p)))
    c = load<u8>(p)
  }
  if ((c | 0x20) == 0x65) {
    p++
    c = load<u8>(p)
    if (c == 0x2b || c == MINUS) p++
    if (!isDigit(load<u8>(p))) return 0
    do p++
    while (isDigit(load<u8>(p)))
  }
  return p
}

/** The position of the value, after the name at `p` and its colon; 0 when it is malformed. */
// @ts-expect-error
@inline function skipName(p: usize): usize {
  if (load<u8>(p) != QUOTE) return 0
  p = skipString(p + 1)
  if (p == 0) return 0
  p = skipSpace(p)
  return load<u8>(p) == COLON ? skipSpace(p + 1) : 0
}

/**
 * The position after the value at `p`; 0 when it is malformed. Not recursive, because nesting can be arbitrarily deep.
 */
function skipValue(p: usize): usize {
  let depth: i32 = 0
  while (true) {
    const c = load<u8>(p)
    if (c == QUOTE) {
      p = skipString(p + 1)
      if (p == 0) return 0
    } else if (c == OPEN_OBJECT) {
      depth++
      if (depth > deepest) deepest = depth
      p = skipSpace(p + 1)
      if (load<u8>(p) != CLOSE_OBJECT) {
        store<u8>(stack + depth, 1)
        p = skipName(p)
        if (p == 0) return 0
        continue
      }
      p++
      depth--
    } else if (c == OPEN_ARRAY) {
      depth++
      if (depth > deepest) deepest = depth
      p = skipSpace(p + 1)
      if (load<u8>(p) != CLOSE_ARRAY) {
        store<u8>(stack + depth, 0)
        continue
      }
      p++
      depth--
    } else if (c == 0x74) {
      if (load<u32>(p) != 0x65757274) return 0
      p += 4
    } else if (c == 0x66) {
      if (load<u32>(p + 1) != 0x65736c61) return 0
      p += 5
    } else if (c == 0x6e) {
      if (load<u32>(p) != 0x6c6c756e) return 0
      p += 4
    } else {
      p = skipNumber(p)
      if (p == 0) return 0
    }
    // After a value: close levels, and continue with the next value.
    while (true) {
      if (depth == 0) return p
      p = skipSpace(p)
      const next = load<u8>(p)
      const isObject = load<u8>(stack + depth) == 1
      if (next == COMMA) {
        p = skipSpace(p + 1)
        if (isObject) {
          p = skipName(p)
          if (p == 0) return 0
        }
        break
      }
      if (next != (isObject ? CLOSE_OBJECT : CLOSE_ARRAY)) return 0
      depth--
      p++
    }
  }
  return 0
}

/** The number of the name at `p`. @param length bytes of the name, at most 15. */
// @ts-expect-error
@inline function numberOf(p: usize, length: usize): u32 {
  const name = v128.load(p)
  let slot = (length * 5 + load<u8>(p) * 3 + load<u8>(p + length - 1)) & (SLOTS - 1)
  while (true) {
    const at = NAMES + slot * SLOT_BYTES
    const known = <usize>load<u32>(at + 16)
    if (known == 0) return UNKNOWN_NAME
    if (known == length) {
      const same = i8x16.bitmask(i8x16.eq(name, v128.load(at)))
      if ((~same & ((1 << <i32>length) - 1)) == 0) return load<u32>(at + 20)
    }
    slot = (slot + 1) & (SLOTS - 1)
  }
  return UNKNOWN_NAME
}

let marks: u32 = 0
let seen: u32 = 0
let memberCount: i32 = 0

/** The position after the object at `p`; 0 when it is malformed. Writes its members from `o` on. */
// @ts-expect-error
@inline function scanObject(p: usize, o: usize): usize {
  let count: i32 = 0
  let names: u32 = 0
  p = skipSpace(p + 1)
  if (load<u8>(p) == CLOSE_OBJECT) {
    memberCount = 0
    return p + 1
  }
  while (true) {
    if (load<u8>(p) != QUOTE) return 0
    const name = p + 1
    let about: u32 = UNKNOWN_NAME
    p = skipPlain(name)
    if (load<u8>(p) == QUOTE) {
      const length = p - name
      if (length - 1 < 15) about = numberOf(name, length)
      p++
    } else {
      p = skipString(p)
      if (p == 0) return 0
      about |= ODD_NAME
    }
    const nameLength = p - 1 - name
    if (about < MAX_NAMES) {
      if ((names & (1 << about)) != 0) marks |= NAME_TWICE
      names |= 1 << about
    } else marks |= HAS_OTHERS
    p = skipSpace(p)
    if (load<u8>(p) != COLON) return 0
    p = skipSpace(p + 1)
    const value = p
    const c = load<u8>(p)
    if (c == QUOTE) {
      p = skipPlain(p + 1)
      if (load<u8>(p) == QUOTE) {
        p++
        about |= PLAIN_TEXT
      } else {
        p = skipString(p)
        if (p == 0) return 0
      }
    } else {
      p = skipValue(p)
      if (p == 0) return 0
      if (c == 0x6e && (about >= MAX_NAMES || (nullable & (1 << about)) == 0)) marks |= HAS_NULL
    }
    if (count < MAX_MEMBERS) {
      store<u32>(o, about | (<u32>min<usize>(nameLength, 0xffff) << 16))
      store<u32>(o + 4, <u32>(name - input))
      store<u32>(o + 8, <u32>(value - input))
      store<u32>(o + 12, <u32>(p - input))
      o += MEMBER_BYTES
      count++
    } else marks |= TOO_MANY
    p = skipSpace(p)
    const next = load<u8>(p)
    if (next == COMMA) {
      p = skipSpace(p + 1)
      continue
    }
    if (next != CLOSE_OBJECT) return 0
    memberCount = count
    seen = names
    return p + 1
  }
  return 0
}

/** The position after the text at `p`; 0 when it is malformed. Writes its head at `o`. */
// @ts-expect-error
@inline function scanText(p: usize, o: usize): usize {
  const start = p
  deepest = 0
  marks = 0
  seen = 0
  let kind: i32
  if (load<u8>(p) == OPEN_OBJECT) {
    p = scanObject(p, o + HEAD_BYTES)
    kind = memberCount
  } else {
    p = skipValue(p)
    kind = NO_OBJECT
  }
  if (deepest > maxDepth) marks |= TOO_DEEP
  store<u32>(o, <u32>(start - input))
  store<u32>(o + 4, <u32>(p - input))
  store<i32>(o + 8, kind)
  store<u32>(o + 12, (marks << 16) | seen)
  return p
}

/** The next line break from `p` on, or the end. */
function endOfLine(p: usize, end: usize): usize {
  while (p < end) {
    const found = i8x16.bitmask(i8x16.eq(v128.load(p), i8x16.splat(0x0a)))
    if (found != 0) return min(end, p + ctz(found))
    p += 16
  }
  return end
}

// @ts-expect-error
@inline function finish(texts: i32, next: usize, blank: i32, isSound: bool): void {
  store<i32>(places, texts)
  store<u32>(places + 4, <u32>(next - input))
  store<i32>(places + 8, blank)
  store<i32>(places + 12, isSound ? 1 : 0)
}

const ROOM: usize = HEAD_BYTES + <usize>MAX_MEMBERS * MEMBER_BYTES

/**
 * Scans lines of NDJSON from `from` to `to`. Blank lines are skipped, or reported as malformed. When there is no room
 * for more places, `next` says where to continue.
 */
export function scanLines(from: usize, to: usize, keepsBlank: i32): void {
  lineBreak = 0x20
  const end = input + to
  let p = input + from
  let o = places + HEAD_BYTES
  let texts = 0
  let blank = 0
  while (p < end && o + ROOM <= placesEnd) {
    const line = p
    p = skipSpace(p)
    if (keepsBlank == 0 && (p >= end || load<u8>(p) == NEWLINE)) {
      blank++
      p++
      continue
    }
    const start = p
    p = scanText(p, o)
    if (p != 0) {
      const behind = skipSpace(p)
      if (behind >= end || load<u8>(behind) == NEWLINE) p = behind
      else p = 0
    }
    let members = load<i32>(o + 8)
    if (p == 0) {
      p = endOfLine(start, end)
      store<u32>(o, <u32>(line - input))
      store<u32>(o + 4, <u32>(p - input))
      members = MALFORMED
      store<i32>(o + 8, members)
    }
    o += HEAD_BYTES + (members > 0 ? <usize>members * MEMBER_BYTES : 0)
    texts++
    p++
  }
  finish(texts, min(p, end), blank, true)
}

/** Counts line breaks from 0 to `to`, 16 bytes at a time: the padding after the input has none. */
export function countLines(to: usize): i32 {
  let count: i32 = 0
  for (let at: usize = 0; at < to; at += 16) {
    count += popcnt(i8x16.bitmask(i8x16.eq(v128.load(input + at), i8x16.splat(0x0a))))
  }
  return count
}

/** Scans one text, with white space around it, from 0 to `to`. */
export function scanOne(to: usize): void {
  lineBreak = NEWLINE
  const end = input + to
  const o = places + HEAD_BYTES
  let p = scanText(skipSpace(input), o)
  if (p != 0) p = skipSpace(p)
  finish(1, end, 0, p == end)
}

/**
 * Scans elements of an array.
 * @param from 0, or where the last call ended. If not sound, the whole array is invalid.
 */
export function scanArray(from: usize, to: usize): void {
  lineBreak = NEWLINE
  const end = input + to
  let p = input + from
  let o = places + HEAD_BYTES
  let texts = 0
  if (from == 0) {
    p = skipSpace(p)
    if (load<u8>(p) != OPEN_ARRAY) return finish(0, p, 0, false)
    p = skipSpace(p + 1)
    if (load<u8>(p) == CLOSE_ARRAY) {
      p = skipSpace(p + 1)
      return finish(0, p, 0, p == end)
    }
  }
  while (o + ROOM <= placesEnd) {
    p = scanText(p, o)
    if (p == 0) return finish(texts, end, 0, false)
    const members = load<i32>(o + 8)
    o += HEAD_BYTES + (members > 0 ? <usize>members * MEMBER_BYTES : 0)
    texts++
    p = skipSpace(p)
    const next = load<u8>(p)
    if (next == COMMA) {
      p = skipSpace(p + 1)
      continue
    }
    if (next != CLOSE_ARRAY) return finish(texts, end, 0, false)
    p = skipSpace(p + 1)
    return finish(texts, end, 0, p == end)
  }
  finish(texts, p, 0, true)
}

/** Copies some 100 bytes faster than memory.copy. Writes up to 15 bytes more, which the next copy overwrites. */
// @ts-expect-error
@inline function append(to: usize, from: usize, bytes: usize): usize {
  if (bytes > 512) memory.copy(to, from, bytes)
  else for (let i: usize = 0; i < bytes; i += 16) v128.store(to + i, v128.load(from + i))
  return to + bytes
}

/** Writes the decimal digits of a number below 2^53. */
function appendNumber(to: usize, number: f64): usize {
  let rest = <u64>number
  let digits: usize = 1
  for (let more = rest / 10; more > 0; more /= 10) digits++
  for (let at = to + digits - 1; at >= to; at--) {
    store<u8>(at, <u8>(0x30 + (rest % 10)))
    rest /= 10
  }
  return to + digits
}

/** The member with this name, which must exist. */
// @ts-expect-error
@inline function memberOf(head: usize, name: u32): usize {
  let record = head + HEAD_BYTES
  while ((load<u32>(record) & 0xff) != name) record += MEMBER_BYTES
  return record
}

/** Whether the value is a whole number in its usual form: not `1.0`, not `1e3`, not `-0`. */
function isWholeNumber(p: usize, end: usize): bool {
  if (load<u8>(p) == MINUS) {
    p++
    if (load<u8>(p) == 0x30) return false
  }
  while (p < end) if (!isDigit(load<u8>(p++))) return false
  return true
}

/** Room for the members added to one text. */
const FILL_BYTES: usize = 2048

/**
 * Writes texts as lines, with missing members added at the start.
 * @param head head of the first text; heads are updated to the places in the output.
 * @param texts number of texts.
 * @param whole texts with one of these names are complete.
 * @param wanted names to fill in.
 * @param asText name of a member whose whole number is written as a string.
 * @param odd marks of texts that this function does not handle.
 * @param counted name whose value ends with `counter`, which increases by one for each text.
 * @returns the end of the output; in `places`, the number of texts done, and the head of the next one. That text is too
 *   long for the remaining room, or this function does not handle it.
 */
export function fill(
  head: usize,
  texts: i32,
  whole: u32,
  wanted: u32,
  asText: u32,
  counted: u32,
  counter: f64,
  odd: u32,
): usize {
  let to = output
  let done: i32 = 0
  head += places
  while (done < texts) {
    const from = input + load<u32>(head)
    const end = input + load<u32>(head + 4)
    const members = load<i32>(head + 8)
    const about = load<u32>(head + 12)
    if (members < 0 || (about & odd) != 0) break
    if (to + (end - from) + FILL_BYTES > outputEnd) break
    const line = to
    let rest = from
    if ((about & whole) == 0) {
      let value: usize = 0
      let behind: usize = 0
      if ((about & (1 << asText)) != 0) {
        const member = memberOf(head, asText)
        value = input + load<u32>(member + 8)
        behind = input + load<u32>(member + 12)
        if (load<u8>(value) == QUOTE) value = 0
        else if (!isWholeNumber(value, behind)) break
      }
      store<u8>(to++, OPEN_OBJECT)
      for (let missing = wanted & ~about; missing != 0; missing &= missing - 1) {
        const name = ctz(missing)
        to = append(to, <usize>load<u32>(DEFAULTS + name * 8), <usize>load<u32>(DEFAULTS + name * 8 + 4))
        if (name != counted) continue
        to = appendNumber(to, counter)
        store<u16>(to, 0x2c22) // ",
        to += 2
      }
      rest++
      if (value != 0) {
        to = append(to, rest, value - rest)
        store<u8>(to++, QUOTE)
        to = append(to, value, behind - value)
        store<u8>(to++, QUOTE)
        rest = behind
      }
    }
    to = append(to, rest, end - rest)
    store<u32>(head, <u32>(line - output))
    store<u32>(head + 4, <u32>(to - output))
    store<u8>(to++, NEWLINE)
    head += HEAD_BYTES + <usize>members * MEMBER_BYTES
    counter++
    done++
  }
  store<i32>(places, done)
  store<u32>(places + 4, <u32>(head - places))
  return to - output
}
