/**
 * OpenTelemetry traces, switched on by the standard variables. Without these, no tracing code is loaded.
 *
 *     OTEL_EXPORTER_OTLP_ENDPOINT (or …_TRACES_ENDPOINT)   where spans go, OTLP over HTTP: switches tracing on
 *     OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES          how they are labelled; default service name: millrace
 *     OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG         which are kept
 *     OTEL_SDK_DISABLED=true, OTEL_TRACES_EXPORTER=none    switch it off again
 *
 * Source: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyPluginAsync, FastifyPluginCallback, FastifyRequest } from 'fastify'

const STOP_WITHIN_MS = 2000

export interface Tracing {
  /** Makes a span of each request. */
  readonly plugin: FastifyPluginCallback | FastifyPluginAsync
  /** The span of a request, as a `traceparent`. */
  traceparentOf(request: FastifyRequest): string | undefined
  /** Sends the remaining spans, if the collector accepts them within {@link STOP_WITHIN_MS}. */
  stop(): Promise<void>
}

export function tracingIsOn(environment: NodeJS.ProcessEnv): boolean {
  const { OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT } = environment
  const off = environment.OTEL_SDK_DISABLED === 'true' || environment.OTEL_TRACES_EXPORTER === 'none'
  return !off && Boolean(OTEL_EXPORTER_OTLP_ENDPOINT || OTEL_EXPORTER_OTLP_TRACES_ENDPOINT)
}

/** Starts tracing if the environment asks for it; otherwise undefined. */
export async function startTracing(environment: NodeJS.ProcessEnv, version: string): Promise<Tracing | undefined> {
  if (!tracingIsOn(environment)) return undefined
  const [fastifyOtel, exporter, resources, sdk] = await Promise.all([
    import('@fastify/otel'),
    import('@opentelemetry/exporter-trace-otlp-http'),
    import('@opentelemetry/resources'),
    import('@opentelemetry/sdk-trace-node'),
  ])
  const own = resources.resourceFromAttributes({ 'service.name': 'millrace', 'service.version': version })
  const given = resources.detectResources({ detectors: [resources.envDetector] })
  const provider = new sdk.NodeTracerProvider({
    resource: resources.defaultResource().merge(own).merge(given),
    spanProcessors: [new sdk.BatchSpanProcessor(new exporter.OTLPTraceExporter())],
  })
  provider.register() // reads and writes W3C trace context
  const instrumentation = new fastifyOtel.FastifyOtelInstrumentation({
    // One span for each request: a span for every hook would cost much and show little.
    instrumentHooks: false,
    instrumentHandler: false,
    // The query of the URL may hold a key, so the span gets only the path.
    requestHook: (span, { url }) => {
      if (url.includes('?')) span.setAttribute('url.path', url.slice(0, url.indexOf('?')))
    },
  })
  instrumentation.setTracerProvider(provider)
  return {
    plugin: instrumentation.plugin(),
    traceparentOf(request) {
      const span = request.opentelemetry().span?.spanContext()
      return span && `00-${span.traceId}-${span.spanId}-0${span.traceFlags & 1}`
    },
    // An unreachable collector must not delay the shutdown.
    stop: () =>
      Promise.race([provider.shutdown().catch(() => undefined), sleep(STOP_WITHIN_MS, undefined, { ref: false })]),
  }
}
