/** One question before anything is changed. */
import { createInterface } from 'node:readline/promises'
import { TerraformError } from '../terraform.ts'

/** @param approved it was said already. @throws TerraformError unless the answer is `yes`. */
export async function requireYes(approved: boolean): Promise<void> {
  if (approved) return
  if (!process.stdin.isTTY) throw new TerraformError('There is nobody to ask here: --auto-approve says yes.')
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  const answer = await terminal.question('Go on? Only "yes" does: ')
  terminal.close()
  if (answer.trim() !== 'yes') throw new TerraformError('Nothing was done.')
}
