/** The few kinds of panel that the dashboards are made of, so that they look alike. */
import * as common from '@grafana/grafana-foundation-sdk/common'
import * as dashboard from '@grafana/grafana-foundation-sdk/dashboard'
import * as prometheus from '@grafana/grafana-foundation-sdk/prometheus'
import * as stats from '@grafana/grafana-foundation-sdk/stat'
import * as timeseries from '@grafana/grafana-foundation-sdk/timeseries'
import { select, UP } from '../promql.ts'

/** The range that Grafana picks for the zoom at hand. */
export const WINDOW = '$__rate_interval'
export const INSTANCE = { instance: '~$instance' } as const
export const SINK = { ...INSTANCE, sink: '~$sink' } as const

const DATASOURCE = { type: 'prometheus', uid: '$datasource' }
const REFRESH = '10s'

/** Units as Grafana names them. */
type Unit = 'short' | 's' | 'bytes' | 'percentunit' | 'cps' | 'reqps' | 'dateTimeFromNow' | 'none'

export interface Panel {
  readonly title: string
  /** What a reader should make of it. */
  readonly description: string
  readonly unit: Unit
  /** Legend → expression; a legend may name labels: `{{sink}}`. */
  readonly queries: Readonly<Record<string, string>>
  /** From here on it is yellow, then red. */
  readonly limits?: readonly [number, number]
  /** Top of the axis. */
  readonly max?: number
}

function targets({ queries }: Panel): prometheus.DataqueryBuilder[] {
  return Object.entries(queries).map(([legend, expression], index) =>
    new prometheus.DataqueryBuilder()
      .expr(expression)
      .legendFormat(legend)
      .refId(String.fromCharCode(65 + index)),
  )
}

function thresholds(limits: Panel['limits']): dashboard.ThresholdsConfigBuilder {
  const steps: dashboard.Threshold[] = [{ value: null, color: 'green' }]
  if (limits) steps.push({ value: limits[0], color: 'yellow' }, { value: limits[1], color: 'red' })
  return new dashboard.ThresholdsConfigBuilder().mode(dashboard.ThresholdsMode.Absolute).steps(steps)
}

/** A line for each series; three of them fit in a row. */
export function chart(panel: Panel): timeseries.PanelBuilder {
  const builder = new timeseries.PanelBuilder()
    .title(panel.title)
    .description(panel.description)
    .datasource(DATASOURCE)
    .targets(targets(panel))
    .unit(panel.unit)
    .min(0)
    .lineWidth(1)
    .fillOpacity(8)
    .showPoints(common.VisibilityMode.Never)
    .thresholds(thresholds(panel.limits))
    .legend(
      new common.VizLegendOptionsBuilder()
        .displayMode(common.LegendDisplayMode.List)
        .placement(common.LegendPlacement.Bottom)
        .showLegend(true),
    )
    .tooltip(
      new common.VizTooltipOptionsBuilder().mode(common.TooltipDisplayMode.Multi).sort(common.SortOrder.Descending),
    )
    .height(8)
    .span(8)
  if (panel.limits) {
    builder.thresholdsStyle(new common.GraphThresholdsStyleConfigBuilder().mode(common.GraphThresholdsStyleMode.Dashed))
  }
  return panel.max === undefined ? builder : builder.max(panel.max)
}

/** One number, as it is now; six of them fit in a row. */
export function stat(panel: Panel): stats.PanelBuilder {
  return new stats.PanelBuilder()
    .title(panel.title)
    .description(panel.description)
    .datasource(DATASOURCE)
    .targets(targets(panel))
    .unit(panel.unit)
    .thresholds(thresholds(panel.limits))
    .colorMode(panel.limits ? common.BigValueColorMode.Background : common.BigValueColorMode.Value)
    .graphMode(common.BigValueGraphMode.Area)
    .reduceOptions(new common.ReduceDataOptionsBuilder().calcs(['lastNotNull']).values(false))
    .height(4)
    .span(4)
}

interface Page {
  readonly uid: string
  readonly title: string
  readonly description: string
  readonly panels: readonly (stats.PanelBuilder | timeseries.PanelBuilder)[]
}

/** A dashboard with its data source and filters, and links to the others. */
export function page({ uid, title, description, panels }: Page): dashboard.Dashboard {
  const labelValues = (name: string, label: string, series: string) =>
    new dashboard.QueryVariableBuilder(name)
      .label(label)
      .datasource(DATASOURCE)
      .query(`label_values(${series}, ${name})`)
      .refresh(dashboard.VariableRefresh.OnTimeRangeChanged)
      .sort(dashboard.VariableSort.AlphabeticalAsc)
      .multi(true)
      .includeAll(true)
      .allValue('.*')
      .current({ selected: true, text: 'All', value: '$__all' })
  const builder = new dashboard.DashboardBuilder(title)
    .uid(uid)
    .description(description)
    .tags(['millrace'])
    .refresh(REFRESH)
    .time({ from: 'now-1h', to: 'now' })
    .timezone('browser')
    .tooltip(dashboard.DashboardCursorSync.Crosshair)
    .link(
      new dashboard.DashboardLinkBuilder('Millrace')
        .type(dashboard.DashboardLinkType.Dashboards)
        .tags(['millrace'])
        .keepTime(true)
        .includeVars(true),
    )
    .withVariable(new dashboard.DatasourceVariableBuilder('datasource').label('Prometheus').type('prometheus'))
    .withVariable(labelValues('instance', 'Instance', UP))
    .withVariable(labelValues('sink', 'Sink', select('events_delivered_total')))
  panels.forEach((panel, index) => {
    builder.withPanel(panel.id(index + 1))
  })
  return builder.build()
}
