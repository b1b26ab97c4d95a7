/** Input series for promtool, in its notation, from what they mean. One sample a step. */

/** A stretch of samples: how much, for how many steps. */
export type Stretch = readonly [amount: number, steps: number]

/** Rises by `amount` a step, from 0. */
export function counter(...stretches: readonly Stretch[]): string {
  let value = 0
  const parts = stretches.map(([amount, steps]) => {
    const part = `${value + amount}+${amount}x${steps - 1}`
    value += amount * steps
    return part
  })
  return ['0', ...parts].join(' ')
}

/** Is `amount`. */
export function gauge(...stretches: readonly Stretch[]): string {
  return stretches.map(([amount, steps]) => `${amount}+0x${steps - 1}`).join(' ')
}

/** Goes from `from` by `amount` a step. */
export function ramp(from: number, ...stretches: readonly Stretch[]): string {
  let value = from
  const parts = stretches.map(([amount, steps]) => {
    const part = `${value}${amount < 0 ? '-' : '+'}${Math.abs(amount)}x${steps - 1}`
    value += amount * steps
    return part
  })
  return parts.join(' ')
}

export type Series = Readonly<Record<string, string>>

/** An instance's series: `name{labels}` without job and instance, which are added. */
export function instance(series: Series, name = 'a:9464'): Series {
  const labels = `job="millrace",instance="${name}"`
  return Object.fromEntries(
    Object.entries(series).map(([key, values]) => {
      const [, metric = '', own = ''] = /^(\w+)(?:{(.*)})?$/.exec(key) ?? []
      return [`${metric}{${own === '' ? labels : `${labels},${own}`}}`, values]
    }),
  )
}
