/** The type of an event, shared by the service and `millrace/client`. It imports nothing, so a browser can use it. */

/**
 * A CloudEvent 1.0 (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md). All other attributes are
 * extensions: their names have lower-case letters and digits, their values are scalars.
 */
export interface Event<Data = unknown> {
  readonly specversion: '1.0'
  readonly id: string
  readonly source: string
  readonly type: string
  readonly subject?: string
  /** RFC 3339. */
  readonly time?: string
  readonly datacontenttype?: string
  readonly dataschema?: string
  readonly data?: Data
  /** Binary data, base64 (RFC 4648); never together with `data`. */
  readonly data_base64?: string
  readonly [extension: string]: unknown
}
