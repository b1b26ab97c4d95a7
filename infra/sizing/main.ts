/** The command `millrace plan`: reads its options, prints the plan. The service's command line loads it in a clone of the repository. */
import { Command, InvalidArgumentError, Option } from 'commander'
import { wholeNumber } from '../../app/cli/whole-number.ts'
import { plan } from './plan.ts'

const MAX_RETENTION_HOURS = 3650 * 24
const MAX_EVENTS_PER_SECOND = 10_000_000
const MAX_EVENT_BYTES = 2 ** 20
const MAX_SINKS = 100

/** Hours, from `36`, `36h` or `7d`. */
function hours(text: string): number {
  const [, digits, unit] = /^(\d+)([hd]?)$/.exec(text) ?? []
  const value = Number(digits) * (unit === 'd' ? 24 : 1)
  if (!(value >= 1 && value <= MAX_RETENTION_HOURS)) {
    throw new InvalidArgumentError(
      `not a time from 1h to ${MAX_RETENTION_HOURS / 24}d: write hours, such as 36, or 7d.`,
    )
  }
  return value
}

/**
 * @param parent shows errors and help.
 * @returns the command, which prints the plan when it is parsed.
 */
export function planCommand(parent: Command): Command {
  return new Command('millrace plan')
    .copyInheritedSettings(parent)
    .description(
      'what a load needs: one machine if it fits, else tasks, partitions, brokers and cost, with the limit that binds each',
    )
    .requiredOption('-e, --events-per-second <n>', 'at the peak', wholeNumber(1, MAX_EVENTS_PER_SECOND))
    .requiredOption('-b, --bytes <n>', 'of one event, as it is sent', wholeNumber(1, MAX_EVENT_BYTES))
    .requiredOption('-r, --retention <hours>', 'how long the log keeps events; days as 7d', hours)
    .option('-n, --events-per-request <n>', 'default: 100, or as many as a body holds', wholeNumber(1))
    .option('-s, --sinks <n>', 'sinks, each of which gets every event', wholeNumber(1, MAX_SINKS), 1)
    .addOption(new Option('--replication <copies>', 'copies in Kafka').choices(['2', '3']).default('3'))
    .option('--markdown', 'as Markdown')
    .addHelpText('after', '\nExample: millrace plan --events-per-second 100000 --bytes 273 --retention 24')
    .action(({ replication, ...options }) => plan({ ...options, replication: Number(replication) }))
}
