/**
 * The live page. Server-sent events bring a snapshot a second (snapshot.ts says what is in it); rates are differences
 * of totals, so a lost connection leaves a gap and no wrong figure.
 */
import uPlot from './uPlot.esm.js'

const KEEP_SECONDS = 300
/** An axis shows at least this much, so that the first seconds do not race across it. */
const SHOW_SECONDS = 60
const RETRY_MS = 2000
/** A snapshot comes every second: without one for that long, the connection only looks alive. */
const SILENCE_MS = 10_000
const byId = (id) => document.getElementById(id)
const number = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const short = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 })
const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' })
const rate = (value) => (value < 10 ? value.toFixed(1).replace(/\.0$/, '') : short.format(value))
const milliseconds = (value) => (value == null ? '–' : value < 10 ? value.toFixed(2) : value.toFixed(0))
const percent = (share) => `${Math.round(share * 100)} %`
const megabytes = (bytes) => `${number.format(bytes / 1024 / 1024)} MiB`

let previous
const flow = plotOf('flow-plot', ['Received', 'Committed', 'Delivered'], rate)
const latency = plotOf('latency-plot', ['p50', 'p99', 'p99.9'], milliseconds)

let source
let silence
connect()

/** A browser tries again by itself after a broken connection, but neither after a refusal nor when nothing comes. */
function connect() {
  source?.close()
  source = new EventSource('/events')
  source.onopen = () => connection('Live', false)
  source.onerror = () => {
    connection('Connection lost, trying again …', true)
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, RETRY_MS)
  }
  source.onmessage = ({ data }) => {
    clearTimeout(silence)
    silence = setTimeout(() => {
      connection('Connection lost, trying again …', true)
      connect()
    }, SILENCE_MS)
    const now = JSON.parse(data)
    show(now, previous)
    previous = now
  }
}

function connection(text, lost) {
  byId('connection').textContent = text
  byId('connection').classList.toggle('lost', lost)
  if (lost) previous = undefined
}

function show(now, before) {
  byId('about').textContent = `${now.version} · role ${now.role} · up ${duration(now.uptimeSeconds)}`
  byId('first').hidden = now.received > 0 || now.url === undefined // ROLE=deliver takes none
  const key = now.needsKey ? "-H 'authorization: Bearer <your API key>' " : ''
  byId('command').textContent =
    `curl -i ${now.url}/v1/events ${key}-H 'content-type: application/json' -d '{"id":1,"data":"Event 1"}'`
  byId('token-row').hidden = !now.needsToken

  const seconds = before && now.atMs > before.atMs ? (now.atMs - before.atMs) / 1000 : undefined
  const perSecond = (total) => (seconds === undefined ? null : Math.max(0, total(now) - total(before)) / seconds)
  const delivered = (snapshot) => Math.min(...snapshot.sinks.map((sink) => sink.delivered))
  const rates = [
    perSecond((s) => s.received),
    perSecond((s) => s.committed),
    now.sinks.length > 0 ? perSecond(delivered) : null, // ROLE=ingest has none
  ]
  figures(
    'flow',
    [
      ['Received', rates[0] === null ? '–' : rate(rates[0])],
      ['Committed', rates[1] === null ? '–' : rate(rates[1])],
      [now.sinks.length > 1 ? 'Delivered, slowest' : 'Delivered', rates[2] === null ? '–' : rate(rates[2])],
      ['Received in all', short.format(now.received)],
    ],
    3,
  )
  flow.add(now.atMs / 1000, rates)
  byId('flow-text').textContent = flow.text('events a second')

  const { p50 = null, p99 = null, p999 = null } = now.writeMs ?? {}
  figures(
    'latency',
    [
      ['p50', milliseconds(p50)],
      ['p99', milliseconds(p99)],
      ['p99.9', milliseconds(p999)],
    ],
    3,
  )
  latency.add(now.atMs / 1000, [p50, p99, p999])
  byId('latency-text').textContent = latency.text('milliseconds')

  sinks(now, before, seconds)
  gauges([
    ['Saturation', now.saturation],
    ['Channel', now.channelFill],
    ['Log', now.logFill],
  ])
  figures('process', [
    ['CPU cores', now.process.cores.toFixed(2)],
    ['Memory', megabytes(now.process.rssBytes)],
    ['Event loop', percent(now.process.loopUse)],
    ['Log on disk', megabytes(now.logBytes)],
  ])
  const rejected = Object.entries(now.rejected)
  figures(
    'rejected',
    rejected.length > 0 ? rejected.map(([reason, count]) => [reason, number.format(count)]) : [['In all', '0']],
  )
}

/** Terms and values; the first `series` of them are the lines of the plot below. */
function figures(id, pairs, series = 0) {
  const list = byId(id)
  keep(list, pairs.length, () => {
    const entry = document.createElement('div')
    entry.append(document.createElement('dt'), document.createElement('dd'))
    return entry
  })
  for (const [at, [term, value]] of pairs.entries()) {
    const [dt, dd] = list.children[at].children
    dt.className = at < series ? `series series-${at}` : ''
    text(dt, term)
    text(dd, value)
  }
}

function gauges(pairs) {
  const list = byId('fill')
  keep(list, pairs.length, () => {
    const row = document.createElement('label')
    row.className = 'gauge'
    const meter = document.createElement('meter')
    Object.assign(meter, { min: 0, max: 1, low: 0.7, high: 0.9, optimum: 0 })
    row.append(document.createElement('span'), meter, document.createElement('output'))
    return row
  })
  for (const [at, [name, share]] of pairs.entries()) {
    const [label, meter, output] = list.children[at].children
    text(label, name)
    meter.value = share
    text(output, percent(share))
  }
}

function sinks(now, before, seconds) {
  const body = byId('sinks')
  keep(body, now.sinks.length, () => {
    const row = document.createElement('tr')
    const name = document.createElement('th')
    name.scope = 'row'
    row.append(name)
    for (const kind of ['state', 'number', 'number', 'number', '']) {
      const cell = document.createElement('td')
      cell.className = kind
      row.append(cell)
    }
    const button = document.createElement('button')
    button.type = 'button'
    button.textContent = 'Replay'
    button.addEventListener('click', () => replay(row.dataset.sink, button))
    row.lastChild.append(button)
    return row
  })
  for (const [at, sink] of now.sinks.entries()) {
    const row = body.children[at]
    row.dataset.sink = sink.sink
    row.classList.toggle('failing', sink.failure !== null)
    const [name, state, delivered, behind, letters, action] = row.children
    text(name, sink.sink)
    text(state, sink.failure === null ? 'ok' : `failing: ${sink.failure.split('\n')[0]}`)
    const earlier = before?.sinks.find((other) => other.sink === sink.sink)
    text(delivered, seconds && earlier ? rate(Math.max(0, sink.delivered - earlier.delivered) / seconds) : '–')
    text(behind, sink.lagEvents === 0 ? '0' : `${number.format(sink.lagEvents)} (${duration(sink.lagSeconds)})`)
    text(letters, number.format(sink.deadLettersPending))
    const button = action.firstChild
    button.hidden = sink.deadLettersPending === 0
    button.setAttribute('aria-label', `Replay the ${sink.deadLettersPending} dead letters of ${sink.sink}`)
    const pending = `${sink.deadLettersPending}`
    if (row.dataset.letters !== pending) {
      row.dataset.letters = pending
      listLetters(sink)
    }
  }
}

/** The oldest dead letters with their reasons; asked for only when their number has changed. */
async function listLetters({ sink, deadLettersPending }) {
  const id = `letters-${sink}`
  const letters =
    deadLettersPending === 0 ? [] : await (await fetch(`/dead-letters/${encodeURIComponent(sink)}?limit=5`)).json()
  byId(id)?.remove()
  if (letters.length === 0) return
  const part = document.createElement('div')
  part.id = id
  const title = document.createElement('h3')
  title.textContent = `Dead letters of ${sink}, the oldest ${letters.length} of ${number.format(deadLettersPending)}`
  const list = document.createElement('ul')
  for (const { event, attempts, reason } of letters) {
    const item = document.createElement('li')
    item.textContent = `${event.id}: ${reason.split('\n')[0]} (${attempts} ${attempts === 1 ? 'attempt' : 'attempts'})`
    list.append(item)
  }
  part.append(title, list)
  byId('letters').append(part)
}

async function replay(sink, button) {
  // Not disabled: that would take the keyboard's focus away.
  if (button.getAttribute('aria-disabled') === 'true') return
  button.setAttribute('aria-disabled', 'true')
  text(byId('replayed'), `Replaying the dead letters of ${sink} …`)
  const headers = { 'x-millrace-admin': '1' }
  const token = byId('token').value
  if (token !== '') headers.authorization = `Bearer ${token}`
  try {
    const response = await fetch(`/dead-letters/${encodeURIComponent(sink)}/replay`, { method: 'POST', headers })
    const answer = await response.json()
    if (!response.ok) throw new Error(answer.detail ?? answer.reason)
    const { letters, failedAgain } = answer
    text(byId('replayed'), `${sink}: ${letters - failedAgain} delivered, ${failedAgain} are dead letters again.`)
  } catch (error) {
    text(byId('replayed'), `${sink} was not replayed: ${error.message}`)
  }
  button.removeAttribute('aria-disabled')
}

byId('copy').addEventListener('click', async ({ target }) => {
  try {
    await navigator.clipboard.writeText(byId('command').textContent)
    target.textContent = 'Copied'
  } catch {
    // Browsers lend the clipboard to HTTPS and localhost only.
    getSelection().selectAllChildren(byId('command'))
    target.textContent = 'Selected: press Ctrl+C'
  }
  setTimeout(() => {
    target.textContent = 'Copy the command'
  }, 2000)
})

function plotOf(id, labels, format) {
  const element = byId(id)
  const data = [[], ...labels.map(() => [])]
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim()
  const shown = () => {
    const last = data[0].at(-1) ?? Date.now() / 1000
    return [Math.min(data[0][0] ?? last, last - SHOW_SECONDS), last]
  }
  let plot
  const draw = () => {
    plot?.destroy()
    const axis = { stroke: color('--quiet'), grid: { stroke: color('--line'), width: 1 }, ticks: { show: false } }
    const colors = [color('--water'), color('--water-2'), color('--water-3')]
    const options = {
      width: element.clientWidth,
      height: 170,
      legend: { show: false },
      cursor: { show: false },
      scales: {
        x: { auto: true, range: () => shown() },
        y: { range: (_, __, most) => [0, Math.max(1, most * 1.15)] },
      },
      axes: [
        { ...axis, space: 90, values: (_, values) => values.map((at) => clock.format(at * 1000)) },
        { ...axis, size: 52, values: (_, values) => values.map((value) => short.format(value)) },
      ],
      series: [{}, ...labels.map((label, at) => ({ label, stroke: colors[at], width: 2, points: { show: false } }))],
    }
    plot = new uPlot(options, data, element)
  }
  draw()
  new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: 170 })).observe(element)
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw)
  return {
    add(at, values) {
      data[0].push(at)
      for (const [index, value] of values.entries()) data[index + 1].push(value)
      if (data[0].length > KEEP_SECONDS) for (const column of data) column.shift()
      plot.setData(data)
    },
    /** What the picture shows, in words. */
    text(unit) {
      const most = labels.map((label, index) => {
        const values = data[index + 1].filter((value) => value !== null)
        return `${label} ${values.length > 0 ? format(Math.max(...values)) : '–'}`
      })
      return `Last ${duration(data[0].length)}, at most, in ${unit}: ${most.join(', ')}.`
    },
  }
}

/** Makes the element have exactly `count` children, reusing those that are there: focus and selection stay. */
function keep(element, count, create) {
  while (element.children.length > count) element.lastElementChild.remove()
  while (element.children.length < count) element.append(create())
}

function text(element, value) {
  if (element.textContent !== value) element.textContent = value
}

function duration(seconds) {
  if (seconds < 1) return '< 1 s'
  if (seconds < 120) return `${Math.round(seconds)} s`
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`
  return `${Math.round(seconds / 3600)} h`
}
