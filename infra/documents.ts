/** The generated parts of `docs/infrastructure.md`. */

import { environments } from './config.ts'
import { picture } from './picture.ts'
import { costOf } from './sizing/cost.ts'
import { PRICES_AS_OF } from './sizing/prices.ts'
import { synthesise } from './synthesise.ts'

let synthesis: ReturnType<typeof synthesise> | undefined

/** Mermaid, which GitHub draws. */
export function pictureOf(environment: string): string {
  synthesis ??= synthesise()
  const order = ['foundation', 'monitoring', 'service']
  const stacks = order.flatMap(
    (part) => synthesis?.stacks.filter(({ name }) => name === `${environment}-${part}`) ?? [],
  )
  return `\`\`\`mermaid\n${picture(stacks)}\n\`\`\``
}

export function costTables(): string {
  const tables = environments.map((environment) => {
    const lines = costOf(environment)
    const sum = lines.reduce((total, { usdPerMonth }) => total + usdPerMonth, 0)
    return [
      `**${environment.name}** (${environment.profile}), ${PRICES_AS_OF}`,
      '',
      '| what | how much | $ a month |',
      '|---|---|---:|',
      ...lines.map(({ what, formula, usdPerMonth }) => `| ${what} | ${formula} | ${usdPerMonth.toFixed(2)} |`),
      `| **at rest** | | **${sum.toFixed(0)}** |`,
    ].join('\n')
  })
  return tables.join('\n\n')
}
