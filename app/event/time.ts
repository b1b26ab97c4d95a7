/** Checks RFC 3339 times in bytes, because most events have one. */

const ZERO = 0x30
const NINE = 0x39
const NO_NUMBER = -1_000_000
const COLON = 0x3a
const DASH = 0x2d
const DOT = 0x2e
const PLUS = 0x2b
const UPPER_T = 0x54
const UPPER_Z = 0x5a
/** Bit that makes an ASCII letter lower-case. */
const LOWER = 0x20
const MINUTES_A_DAY = 24 * 60

/**
 * RFC 3339, section 5.6. `24:00:00` is invalid. Second 60 is valid only where a leap second is possible: in the last
 * minute of a month in UTC (section 5.7; ITU-R TF.460 prefers June and December). `Date.parse` is not used: it takes
 * ten times as long, reads 31 February as 3 March, and does not know leap seconds.
 * @param from start of the time.
 * @param to end of the time: the end of the bytes, or a position before a byte that cannot be part of a time.
 */
export function isTime(bytes: Uint8Array, from = 0, to = bytes.length): boolean {
  const year = 100 * twoDigits(bytes, from) + twoDigits(bytes, from + 2)
  const month = twoDigits(bytes, from + 5)
  const day = twoDigits(bytes, from + 8)
  const hour = twoDigits(bytes, from + 11)
  const minute = twoDigits(bytes, from + 14)
  const second = twoDigits(bytes, from + 17)
  if (
    !(year >= 0 && month >= 1 && month <= 12 && day >= 1 && day <= daysIn(year, month)) ||
    !(hour >= 0 && hour <= 23 && minute >= 0 && minute <= 59 && second >= 0 && second <= 60) ||
    bytes[from + 4] !== DASH ||
    bytes[from + 7] !== DASH ||
    ((bytes[from + 10] as number) | LOWER) !== (UPPER_T | LOWER) ||
    bytes[from + 13] !== COLON ||
    bytes[from + 16] !== COLON
  ) {
    return false
  }
  const zone = bytes[from + 19] === DOT ? behindDigits(bytes, from + 20) : from + 19
  if (zone === from + 20) return false // a decimal point without digits
  const offsetMinutes = zoneOffset(bytes, zone, to)
  if (Number.isNaN(offsetMinutes)) return false
  return second < 60 || isEndOfMonth(year, month, day, 60 * hour + minute - offsetMinutes)
}

/** The value of two digits; far below zero if one of them is not a digit. */
function twoDigits(bytes: Uint8Array, at: number): number {
  const tens = (bytes[at] as number) - ZERO
  const ones = (bytes[at + 1] as number) - ZERO
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? 10 * tens + ones : NO_NUMBER
}

function behindDigits(bytes: Uint8Array, from: number): number {
  let at = from
  while ((bytes[at] as number) >= ZERO && (bytes[at] as number) <= NINE) at += 1
  return at
}

function daysIn(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
}

/** Minutes by which the zone is ahead of UTC; NaN when the zone is invalid. @param to end of the zone. */
function zoneOffset(bytes: Uint8Array, at: number, to: number): number {
  const sign = bytes[at] as number
  if ((sign | LOWER) === (UPPER_Z | LOWER)) return to === at + 1 ? 0 : Number.NaN
  const hours = twoDigits(bytes, at + 1)
  const minutes = twoDigits(bytes, at + 4)
  const isZone = to === at + 6 && bytes[at + 3] === COLON && hours >= 0 && hours <= 23 && minutes >= 0 && minutes <= 59
  if (!isZone || (sign !== PLUS && sign !== DASH)) return Number.NaN
  return sign === PLUS ? 60 * hours + minutes : -(60 * hours + minutes)
}

/** @param utcMinutes minutes since the start of the day; below 0 or past its end if UTC has another date. */
function isEndOfMonth(year: number, month: number, day: number, utcMinutes: number): boolean {
  if (utcMinutes === MINUTES_A_DAY - 1) return day === daysIn(year, month)
  if (utcMinutes === -1) return day === 1 // in UTC it is the day before
  return utcMinutes === 2 * MINUTES_A_DAY - 1 && day === daysIn(year, month) - 1 // in UTC it is the day after
}
