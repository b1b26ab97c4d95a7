/** A Chromium of this machine: CHROMIUM_PATH, or one on the PATH. */
import { spawnSync } from 'node:child_process'

const NAMES = ['chromium', 'chromium-browser', 'google-chrome']

export const CHROMIUM =
  process.env.CHROMIUM_PATH ?? spawnSync('which', NAMES, { encoding: 'utf8' }).stdout.split('\n')[0]

/** Why the tests in a browser cannot run here, or undefined. */
export const noChromium = CHROMIUM ? undefined : 'no Chromium on the PATH, none in CHROMIUM_PATH'
