/**
 * A config file without a route: events are taken in, made durable, and go nowhere. It is what the services do that Millrace is
 * compared with, which only store. All else is the service as it is. In JavaScript, as the service runs without types, too.
 */
export default { routes: [] }
