import { expect, test } from 'vitest'
import { PROVIDERS } from '../../app/hooks/scheme.ts'
import { verify } from '../../app/hooks/verify.ts'

const keys = (secret: string) => [Buffer.from(secret)]

/** https://docs.slack.dev/authentication/verifying-requests-from-slack */
test('the example of the documentation of Slack is good at its time', () => {
  const body = Buffer.from(
    'token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c',
  )
  const hook = { ...PROVIDERS.slack, keys: keys('8f742231b10e8888abcd99yyyzzz85a5'), toleranceSeconds: 300 }
  const headers = {
    'x-slack-request-timestamp': '1531420618',
    'x-slack-signature': 'v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503',
  }
  expect(verify(hook, headers, body, 1531420700_000)).toBe(1531420618_000)
  expect(() => verify(hook, headers, body, 1531421000_000)).toThrow('382 s from the clock here, the limit is 300')
})

/** https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries */
test('the example of the documentation of GitHub is good, also in upper case', () => {
  const hook = { ...PROVIDERS.github, keys: keys("It's a Secret to Everybody"), toleranceSeconds: 300 }
  const hex = '757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17'
  for (const digits of [hex, hex.toUpperCase()]) {
    expect(verify(hook, { 'x-hub-signature-256': `sha256=${digits}` }, Buffer.from('Hello, World!'))).toBe(undefined)
  }
  for (const digits of [hex.slice(1), `${hex}0`, '', `${hex} `, `sha256=${hex}`]) {
    expect(() => verify(hook, { 'x-hub-signature-256': `sha256=${digits}` }, Buffer.from('Hello, World!'))).toThrow(
      'no signature in x-hub-signature-256 fits',
    )
  }
})

test('a header with many signatures costs no more than ten comparisons', () => {
  const hook = { ...PROVIDERS.stripe, keys: keys('a-secret-of-16-bytes'), toleranceSeconds: 300 }
  const header = `t=1,${'v1=00,'.repeat(11)}`
  expect(() => verify(hook, { 'stripe-signature': header }, Buffer.from('{}'), 1000)).toThrow('more than 10 signatures')
})

test.each(['', '1e3', '-1', '1.5', '0x10', '9'.repeat(16), 'NaN'])('%j is no timestamp', (timestamp) => {
  const hook = { ...PROVIDERS.stripe, keys: keys('a-secret-of-16-bytes'), toleranceSeconds: 300 }
  const headers = { 'stripe-signature': `t=${timestamp},v1=00` }
  expect(() => verify(hook, headers, Buffer.from('{}'), 0)).toThrow('the timestamp in stripe-signature')
})
