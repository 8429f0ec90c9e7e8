/**
 * How files add to a Link what link.ts does not know of (`link.fdb`, `link.qdiscs`), as namespace/facet.ts does for namespaces.
 *
 * The type is declared where the facet is defined:
 *
 *     declare module './link.js' {
 *       interface Link<K extends string = string> {
 *         readonly fdb: LinkFdb
 *       }
 *     }
 *     defineLinkFacet('fdb', (link) => new LinkFdb(link))
 */
import { Link } from './link.js'

/** Adds a property to every Link; its value is made at the first use, once a Link. */
export function defineLinkFacet<Name extends keyof Link & string>(
  name: Name,
  create: (link: Link) => Link[Name],
): void {
  const values = new WeakMap<Link, { value: Link[Name] }>()
  Object.defineProperty(Link.prototype, name, {
    configurable: true,
    enumerable: false,
    get(this: Link): Link[Name] {
      let known = values.get(this)
      if (known === undefined) {
        known = { value: create(this) }
        values.set(this, known)
      }
      return known.value
    },
  })
}
