/**
 * How the layers above add to a namespace what this layer does not know of (`links`, `addresses`, `routes`).
 *
 * The type is declared where the facet is defined:
 *
 *     declare module '../namespace/namespace.js' {
 *       interface Namespace {
 *         readonly links: Links
 *       }
 *     }
 *     defineFacet('links', (namespace) => new Links(namespace))
 */
import { Namespace } from './namespace.js'

/** Adds a property to every Namespace; its value is made at the first use, once a handle, and lives as long as the handle. */
export function defineFacet<Name extends keyof Namespace & string>(
  name: Name,
  create: (namespace: Namespace) => Namespace[Name],
): void {
  const values = new WeakMap<Namespace, { value: Namespace[Name] }>()
  Object.defineProperty(Namespace.prototype, name, {
    configurable: true,
    enumerable: false,
    get(this: Namespace): Namespace[Name] {
      let known = values.get(this)
      if (known === undefined) {
        known = { value: create(this) }
        values.set(this, known)
      }
      return known.value
    },
  })
}
