import { InvalidArgumentError } from 'commander'

/**
 * Reads an option that is a whole number from `minimum` to `maximum`. Default of `maximum`: the largest safe integer.
 * @throws InvalidArgumentError, which the command line shows with the option.
 */
export function wholeNumber(minimum: number, maximum = Number.MAX_SAFE_INTEGER) {
  return (text: string): number => {
    const value = Number(text)
    if (!/^\d+$/.test(text) || value < minimum || value > maximum) {
      const range = maximum < Number.MAX_SAFE_INTEGER ? `from ${minimum} to ${maximum}` : `from ${minimum} on`
      throw new InvalidArgumentError(`not a whole number ${range}.`)
    }
    return value
  }
}
