/** Misspelt settings do not pass silently, and what others set does no harm. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { loadConfig, nearMisses, VARIABLES } from '../app/config.ts'

describe('the alias of a variable', () => {
  test('is as good as its name', () => {
    const { PORT, SINKS, origins } = loadConfig({ MILLRACE_PORT: '8080', SINKS: 'stdout' })
    expect([PORT, SINKS]).toEqual([8080, ['stdout']])
    expect([origins.PORT, origins.SINKS, origins.HOST]).toEqual(['alias', 'environment', 'default'])
  })

  test('may say the same again, but nothing else', () => {
    expect(loadConfig({ PORT: '8080', MILLRACE_PORT: '8080' }).PORT).toBe(8080)
    expect(loadConfig({ PORT: '8080', MILLRACE_PORT: '' }).PORT).toBe(8080)
    expect(() => loadConfig({ PORT: '8080', MILLRACE_PORT: '8081' })).toThrow(
      /^MILLRACE_PORT: PORT is set as well, to another value: set one of the two$/,
    )
    const secrets = { ADMIN_TOKEN: 'hunter2', MILLRACE_ADMIN_TOKEN: 'hunter3' }
    expect(() => loadConfig(secrets)).toThrow(/^MILLRACE_ADMIN_TOKEN: /)
    expect(() => loadConfig(secrets)).not.toThrow(/hunter/)
  })

  test('is checked like it', () => {
    expect(() => loadConfig({ MILLRACE_PORT: 'http' })).toThrow(/^PORT: "http" is not a whole number/)
  })

  test('of every variable is known', () => {
    for (const name of Object.keys(VARIABLES)) {
      expect(() => loadConfig({ [`MILLRACE_${name}`]: '' }), name).not.toThrow()
    }
  })
})

describe('an unknown MILLRACE_ variable ends the start', () => {
  test.each([
    [
      'MILLRACE_KAFKA_BROKER',
      /^MILLRACE_KAFKA_BROKER: there is no such variable: did you mean MILLRACE_KAFKA_BROKERS\?$/,
    ],
    ['MILLRACE_HSOT', /did you mean MILLRACE_HOST\?$/],
    ['MILLRACE_SOMETHING', /^MILLRACE_SOMETHING: there is no such variable: millrace config --describe lists them$/],
    ['MILLRACE_', /^MILLRACE_: there is no such variable/],
  ])('%s', (name, message) => {
    expect(() => loadConfig({ [name]: 'x' })).toThrow(message)
  })

  test('but for those that tools of this repository read', () => {
    const files = execFileSync('git', ['ls-files', '-z'], { encoding: 'utf8' }).split('\0').filter(Boolean)
    const read =
      /process\.env\.(MILLRACE_[A-Z_]+)|whole\('(MILLRACE_[A-Z_]+)'|^\s+(MILLRACE_[A-Z_]+): '|\| `(MILLRACE_[A-Z_]+)`/gm
    const names = files
      .filter((file) => /\.(ts|yaml|md)$|^\.ci\//.test(file) && !file.startsWith('test/environment'))
      .flatMap((file) => [...readFileSync(file, 'utf8').matchAll(read)])
      .map((match) => match.slice(1).find((name) => name !== undefined) ?? '')
    expect(new Set(names).size).toBeGreaterThan(9)
    for (const name of names) expect(() => loadConfig({ [name]: '1' }), name).not.toThrow()
  })

  test('and for what Kubernetes sets for a service called millrace, or millrace-admin', () => {
    const ofService = (name: string, port: string) => ({
      [`${name}_SERVICE_HOST`]: '10.0.0.7',
      [`${name}_SERVICE_PORT`]: port,
      [`${name}_SERVICE_PORT_HTTP`]: port,
      [`${name}_PORT`]: `tcp://10.0.0.7:${port}`,
      [`${name}_PORT_${port}_TCP`]: `tcp://10.0.0.7:${port}`,
      [`${name}_PORT_${port}_TCP_PROTO`]: 'tcp',
      [`${name}_PORT_${port}_TCP_PORT`]: port,
      [`${name}_PORT_${port}_TCP_ADDR`]: '10.0.0.7',
    })
    const environment = { ...ofService('MILLRACE', '3000'), ...ofService('MILLRACE_ADMIN', '9464') }
    const { PORT, ADMIN_PORT, origins } = loadConfig(environment)
    expect([PORT, ADMIN_PORT, origins.PORT]).toEqual([3000, 9464, 'default'])
  })
})

describe('a name one or two letters off a known one is a warning', () => {
  test.each([
    ['KAFKA_BROKER', 'KAFKA_BROKERS'],
    ['S3_SINK_BUCKT', 'S3_SINK_BUCKET'],
    ['HANDLER', 'HANDLERS'],
    ['API_KEY', 'API_KEYS'],
    ['LOG_LEVLE', 'LOG_LEVEL'],
    ['FILE_SINK_DIRS', 'FILE_SINK_DIR'],
  ])('%s: %s', (name, right) => {
    expect(nearMisses({ [name]: 'x' })).toEqual([
      `${name} is set, but is not a variable of Millrace: did you mean ${right}?`,
    ])
  })

  test('unless the right one is set as well, under either name', () => {
    expect(nearMisses({ API_KEY: 'of others', API_KEYS: 'me:a-key-of-16-letters' })).toEqual([])
    expect(nearMisses({ API_KEY: 'of others', MILLRACE_API_KEYS: 'me:a-key-of-16-letters' })).toEqual([])
  })

  test('nothing is said of what a container, a shell, a cloud or CI sets', () => {
    expect(nearMisses(Object.fromEntries(OF_OTHERS.map((name) => [name, 'x'])))).toEqual([])
  })

  test('nor of the variables themselves', () => {
    expect(nearMisses(Object.fromEntries(Object.keys(VARIABLES).map((name) => [name, 'x'])))).toEqual([])
  })
})

/** Of a shell, Docker, Kubernetes, systemd, ECS, Lambda, GitHub Actions, GitLab, npm, Node, and programs beside Millrace. */
const OF_OTHERS = `
  PATH HOME HOSTNAME HOSTTYPE USER USERNAME LOGNAME SHELL SHLVL TERM PWD OLDPWD LANG LC_ALL LANGUAGE TZ EDITOR VISUAL PAGER
  DISPLAY COLORTERM TMPDIR TEMP TMP MAIL HISTSIZE LS_COLORS LINES COLUMNS SSH_CLIENT SSH_CONNECTION SSH_TTY SUDO_USER
  XDG_DATA_DIRS XDG_DATA_HOME XDG_CONFIG_HOME XDG_RUNTIME_DIR XDG_SESSION_ID DBUS_SESSION_BUS_ADDRESS container
  NODE_ENV NODE_VERSION NODE_OPTIONS NODE_PATH NODE_EXTRA_CA_CERTS YARN_VERSION NPM_TOKEN NPM_CONFIG_CACHE INIT_CWD
  MALLOC_ARENA_MAX UV_THREADPOOL_SIZE DEBUG FORCE_COLOR NO_COLOR PORTS HOSTS HTTP_PORT HTTPS_PORT APP_PORT SERVER_PORT
  HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY http_proxy https_proxy no_proxy SSL_CERT_FILE SSL_CERT_DIR
  KUBERNETES_SERVICE_HOST KUBERNETES_SERVICE_PORT KUBERNETES_PORT KUBERNETES_PORT_443_TCP POD_NAME POD_IP NODE_NAME
  INVOCATION_ID JOURNAL_STREAM NOTIFY_SOCKET LISTEN_PID LISTEN_FDS STATE_DIRECTORY LOGS_DIRECTORY CREDENTIALS_DIRECTORY
  AWS_REGION AWS_DEFAULT_REGION AWS_PROFILE AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_EXECUTION_ENV
  AWS_ENDPOINT_URL AWS_CONTAINER_CREDENTIALS_RELATIVE_URI AWS_WEB_IDENTITY_TOKEN_FILE AWS_ROLE_ARN
  ECS_CONTAINER_METADATA_URI ECS_CONTAINER_METADATA_URI_V4 ECS_AGENT_URI ECS_CLUSTER LOG_GROUP LOG_STREAM LOG_FORMAT LOG_DIR
  OTEL_SERVICE_NAME OTEL_EXPORTER_OTLP_ENDPOINT OTEL_EXPORTER_OTLP_HEADERS OTEL_RESOURCE_ATTRIBUTES OTEL_TRACES_SAMPLER
  CI GITHUB_ACTIONS GITHUB_ACTOR GITHUB_ENV GITHUB_EVENT_NAME GITHUB_JOB GITHUB_PATH GITHUB_REF GITHUB_REPOSITORY GITHUB_RUN_ID
  GITHUB_SHA GITHUB_TOKEN GITHUB_WORKFLOW GITHUB_WORKSPACE GITHUB_STEP_SUMMARY RUNNER_OS RUNNER_ARCH RUNNER_NAME RUNNER_TEMP
  RUNNER_TOOL_CACHE RUNNER_DEBUG RUNNER_ENVIRONMENT ImageOS ImageVersion AGENT_TOOLSDIRECTORY ANDROID_HOME JAVA_HOME GOROOT
  CHROMEWEBDRIVER PIPX_HOME DOTNET_ROOT VCPKG_INSTALLATION_ROOT DEPLOYMENT_BASEPATH POWERSHELL_DISTRIBUTION_CHANNEL
  GITLAB_CI CI_COMMIT_SHA CI_JOB_ID CI_JOB_TOKEN CI_PIPELINE_ID CI_PROJECT_DIR CI_REGISTRY CI_SERVER_HOST BUILDKITE JENKINS_URL
  npm_command npm_config_cache npm_execpath npm_lifecycle_event npm_package_name npm_package_version VITEST VITEST_POOL_ID
  POSTGRES_USER POSTGRES_PASSWORD POSTGRES_DB POSTGRES_HOST PGHOST PGPORT PGUSER PGPASSWORD PGDATABASE PGDATA DATABASE_URL
  REDIS_URL KAFKA_HOME KAFKA_OPTS KAFKA_HEAP_OPTS KAFKA_BOOTSTRAP_SERVERS KAFKA_LOG4J_OPTS KAFKA_VERSION S3_BUCKET SECRET_KEY
  SENTRY_DSN SENTRY_ENVIRONMENT DD_ENV DD_SERVICE GF_SECURITY_ADMIN_PASSWORD ADMIN_USER ADMIN_PASSWORD ADMIN_EMAIL AUTH_TOKEN
  APP_ENV RAILS_ENV WEB_CONCURRENCY WORKER_ID LOG_FILE LOG_PATH DATA_PATH CACHE_DIR CONFIG_DIR BASE_URL VIRTUAL_ENV PYTHONPATH
  TF_VAR_environment TF_CLI_CONFIG_FILE TF_LOG ANSIBLE_BIN CHECKOV PROMETHEUS_PATH PROMTOOL_PATH CHROMIUM_PATH
`
  .trim()
  .split(/\s+/)
