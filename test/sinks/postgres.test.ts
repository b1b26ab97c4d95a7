import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { type ConnectionOptions, clientConfig } from '../../app/sinks/postgres/connection.ts'
import { rowOf } from '../../app/sinks/postgres/postgres-sink.ts'
import { troubleOf } from '../../app/sinks/postgres/sqlstate.ts'
import { itemIn } from '../support/events.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const options: ConnectionOptions = {
  url: 'postgres://me:se%2Fcret@db.example.com/shop',
  password: '',
  tls: 'auto',
  caFile: '',
  timeoutMs: 5000,
}

describe('a connection', () => {
  test('is described by the URL', () => {
    expect(clientConfig(options)).toMatchObject({
      host: 'db.example.com',
      port: 5432,
      user: 'me',
      password: 'se/cret',
      database: 'shop',
    })
    expect(clientConfig({ ...options, url: 'postgresql://me@[::1]:5433/shop', password: 'other' })).toMatchObject({
      host: '::1',
      port: 5433,
      password: 'other',
    })
    expect(clientConfig({ ...options, url: 'postgres://me@localhost/shop?host=/run/postgresql' })).toMatchObject({
      host: '/run/postgresql',
      ssl: false,
    })
  })

  test('to another machine is encrypted and checked unless that is turned off', () => {
    const local = 'postgres://me@127.0.0.1/shop'
    const caFile = join(temporaryDirectory(), 'ca.pem')
    writeFileSync(caFile, 'a certificate')
    expect(clientConfig(options).ssl).toEqual({ rejectUnauthorized: true })
    expect(clientConfig({ ...options, caFile }).ssl).toEqual({ rejectUnauthorized: true, ca: 'a certificate' })
    expect(clientConfig({ ...options, tls: 'off' }).ssl).toBe(false)
    expect(clientConfig({ ...options, url: local }).ssl).toBe(false)
    expect(clientConfig({ ...options, url: local, tls: 'verify' }).ssl).toEqual({ rejectUnauthorized: true })
  })

  test.each([
    ['nowhere', 'set it to postgres://user@host:5432/database'],
    ['mysql://me:hidden@host/db', 'it must begin with postgres://'],
    ['postgres://host/db', 'it must name a user, a host and a database'],
    ['postgres://me:hidden@host', 'it must name a user, a host and a database'],
    ['postgres://me:hidden@host/db?sslmode=disable', 'leave out sslmode: POSTGRES_SINK_TLS says it'],
    ['postgres://me%:hidden@host/db', 'a percent sign in its user'],
    ['postgres://me:hidden%zz@host/db', 'a percent sign in its password'],
    ['postgres://me:hidden@host/d%b', 'a percent sign in its database'],
    ['postgres://me:hidden@host/db?options=-c', 'it has a parameter that is not known here: options'],
  ])('%s is refused, and not shown', (url, reason) => {
    let message = ''
    try {
      clientConfig({ ...options, url })
    } catch (error) {
      message = String(error)
    }
    expect(message).toContain(`POSTGRES_SINK_URL: ${reason}`)
    expect(message).not.toContain('hidden')
  })

  test('with a file of certificates that is not there is refused', () => {
    expect(() => clientConfig({ ...options, caFile: '/not/there' })).toThrow(/POSTGRES_SINK_CA_FILE: cannot read it/)
  })
})

test('a row has the extensions in one place, and the time of its acceptance where it has no other', () => {
  const appendedAtMs = Date.UTC(2026, 0, 31)
  const accepted_at = '2026-01-31T00:00:00.000Z'
  const row = (of: object) => JSON.parse(rowOf(itemIn({ event: of, appendedAtMs })))
  const event = { specversion: '1.0', id: 'a', source: '/s', type: 't' } as const
  expect(row(event)).toEqual({ ...event, time: accepted_at, accepted_at })
  expect(row({ ...event, time: '2020-01-01T00:00:00Z', traceid: 'x', data: 1 })).toEqual({
    ...event,
    time: '2020-01-01T00:00:00Z',
    data: 1,
    extensions: { traceid: 'x' },
    accepted_at,
  })
})

describe('whose trouble an error is', () => {
  const failed = (code: string, more: object = {}) =>
    Object.assign(new pg.DatabaseError('made up', 7, 'error'), { code, ...more })

  test.each([
    ['22003', 'row'],
    ['23505', 'row'],
    ['54000', 'row'],
    ['P0001', 'raised'],
    ['ZZ001', 'raised'],
    ['XX001', 'raised'],
    ['57014', 'slow'],
    ['57P01', 'server'],
    ['55P03', 'server'],
    ['40P01', 'server'],
    ['53300', 'server'],
    ['08006', 'server'],
    ['25006', 'server'],
    ['42P01', 'table'],
    ['42P10', 'table'],
    ['42501', 'table'],
    ['0A000', 'table'],
    ['26000', 'table'],
  ])('%s: %s', (code, trouble) => {
    expect(troubleOf(failed(code))).toBe(trouble)
  })

  test('by what else it says', () => {
    expect(troubleOf(failed('23514', { constraint: 'small' }))).toBe('row')
    expect(troubleOf(failed('23514'))).toBe('table') // no partition for its day
    expect(troubleOf(failed('42P01', { where: 'PL/pgSQL function f() line 1' }))).toBe('raised')
    expect(troubleOf(new Error('Connection terminated'))).toBe('server')
  })
})
