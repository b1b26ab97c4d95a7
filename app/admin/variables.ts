/** Variables of the admin listener. */
import { integer, text } from '../variable.ts'

export const ADMIN_VARIABLES = {
  ADMIN_HOST: text('127.0.0.1', 'Address of the admin listener (metrics, health, dead letters): keep it private.'),
  ADMIN_PORT: integer(0, 65_535, 9464, 'Port of the admin listener; 0: any free port.'),
  ADMIN_TOKEN: text(
    '',
    'Bearer token for replays of dead letters. Without one, replays are open on loopback and refused elsewhere.',
  ),
}
