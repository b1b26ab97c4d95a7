/** What a deployment ends with: where the service is, where its key is, and the first event. */
import { CALLER_VARIABLE } from '../names.ts'
import type { Place } from '../place.ts'

/** Outputs of the service stack. */
export type Outputs = Readonly<Record<string, string | undefined>>

/** The command has the key read where it is used: it is in no file and in no history. */
export function nextSteps({ region }: Place, { url, reachability, api_key_secret: secret }: Outputs): string {
  const key = `aws secretsmanager get-secret-value --region ${region} --secret-id ${secret} --query SecretString --output text`
  const isOpen = !reachability?.includes('nowhere')
  const caller = process.env[`TF_VAR_${CALLER_VARIABLE}`]
  return `
${url}   ${reachability}
The API key:   ${key}   (name:key)
Next:          curl -i ${url}/v1/events -H "authorization: Bearer $(${key} | cut -d: -f2)" -H 'content-type: application/json' -d '{"id":1,"data":"Event 1"}'
${isOpen ? '' : `               First let this address in: allowedCidrs: 'me' in infra/config.ts, then deploy again.\n`}${caller === undefined ? '' : `               From ${caller} alone. After it changed, deploy again.\n`}`
}
