/** Variables of logging and metrics. */
import { choice, integer, SECOND_MS, text } from '../variable.ts'

export const OBSERVABILITY_VARIABLES = {
  LOG_LEVEL: choice(
    ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'],
    'info',
    'Lowest severity that is logged.',
  ),
  ENVIRONMENT: text('local', 'Name of the deployment, such as `dev` or `prod`; a dimension of the CloudWatch metrics.'),
  CLOUDWATCH_INTERVAL_MS: integer(
    0,
    5 * 60 * SECOND_MS,
    0,
    'How often saturation and lag are printed for CloudWatch (Embedded Metric Format); 0: never.',
  ),
}
