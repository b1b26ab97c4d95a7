/** The process: event loop, memory, garbage collection, descriptors, what runs since when. */
import { rate, select, selectRuntime, sum } from '../promql.ts'
import { chart, INSTANCE, page, stat, WINDOW } from './panels.ts'
import { by, cpu, saturation } from './signals.ts'

const LEGEND = '{{instance}}'

export const runtime = page({
  uid: 'millrace-runtime',
  title: 'Millrace: runtime',
  description: 'The process and Node.js.',
  panels: [
    stat({
      title: 'Running',
      description: 'Version and role of each instance.',
      unit: 'short',
      queries: {
        '{{version}} {{role}}, Node {{node}}': sum(select('build_info', INSTANCE), 'version', 'role', 'node'),
      },
    }),
    stat({
      title: 'Up',
      description: 'Since when.',
      unit: 's',
      queries: by('instance', `time() - ${selectRuntime('process_start_time_seconds')}`),
    }),
    stat({
      title: 'Event loop',
      description: 'p99 of its delay: what every request waits for.',
      unit: 's',
      queries: by('instance', selectRuntime('nodejs_eventloop_lag_p99_seconds')),
      limits: [0.05, 0.2],
    }),
    stat(cpu),
    stat({
      title: 'Memory',
      description: 'Resident.',
      unit: 'bytes',
      queries: by('instance', selectRuntime('process_resident_memory_bytes')),
    }),
    stat(saturation),
    chart(cpu),
    chart({
      title: 'Event-loop delay',
      description: 'Beyond the 10 ms at which it is sampled, work blocks the loop.',
      unit: 's',
      queries: {
        [`p50 ${LEGEND}`]: selectRuntime('nodejs_eventloop_lag_p50_seconds'),
        [`p99 ${LEGEND}`]: selectRuntime('nodejs_eventloop_lag_p99_seconds'),
        [`max ${LEGEND}`]: selectRuntime('nodejs_eventloop_lag_max_seconds'),
      },
    }),
    chart({ ...saturation, max: 1 }),
    chart({
      title: 'Memory',
      description: 'Resident, and what of it JavaScript and buffers use.',
      unit: 'bytes',
      queries: {
        [`resident ${LEGEND}`]: selectRuntime('process_resident_memory_bytes'),
        [`heap used ${LEGEND}`]: selectRuntime('nodejs_heap_size_used_bytes'),
        [`heap ${LEGEND}`]: selectRuntime('nodejs_heap_size_total_bytes'),
        [`external ${LEGEND}`]: selectRuntime('nodejs_external_memory_bytes'),
      },
    }),
    chart({
      title: 'Garbage collection',
      description: 'Share of the time, by kind.',
      unit: 'percentunit',
      queries: by('kind', sum(rate(selectRuntime('nodejs_gc_duration_seconds', '_sum'), WINDOW), 'kind')),
    }),
    chart({
      title: 'Descriptors',
      description: 'Open files and sockets, their limit, and handles of the event loop.',
      unit: 'short',
      queries: {
        [`open ${LEGEND}`]: selectRuntime('process_open_fds'),
        [`limit ${LEGEND}`]: selectRuntime('process_max_fds'),
        [`handles ${LEGEND}`]: selectRuntime('nodejs_active_handles_total'),
      },
    }),
  ],
})
