/** IPv4 networks in the notation of RFC 4632. */
import { ConfigError } from './config-error.ts'

export interface CidrRange {
  /** Its first address as a number. */
  readonly first: number
  /** Addresses in it. */
  readonly size: number
  readonly bits: number
}

/** An IPv4 network; undefined when the text is invalid or its host part is not zero. */
export function parseCidr(text: string): CidrRange | undefined {
  const [, address = '', length] = /^(\d+\.\d+\.\d+\.\d+)\/(\d+)$/.exec(text ?? '') ?? []
  const octets = address.split('.').map(Number)
  const bits = Number(length)
  if (octets.length !== 4 || octets.some((octet) => octet > 255) || !(bits <= 32)) return undefined
  const first = octets.reduce((sum, octet) => sum * 256 + octet, 0)
  const size = 2 ** (32 - bits)
  return first % size === 0 ? { first, size, bits } : undefined
}

/** The `at`-th network of `bits` inside `cidr`. */
export function subnetOf(cidr: string, bits: number, at: number): string {
  const range = parseCidr(cidr)
  const first = (range?.first ?? 0) + at * 2 ** (32 - bits)
  if (!range || first + 2 ** (32 - bits) > range.first + range.size)
    throw new ConfigError(`${cidr} has no room for more`)
  return `${[24, 16, 8, 0].map((shift) => Math.floor(first / 2 ** shift) % 256).join('.')}/${bits}`
}
