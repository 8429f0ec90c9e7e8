/** Tunnels by tables: each row is made by netkit and read by iproute2, made by iproute2 and read by netkit, and changed to. */
import type { Test } from 'tap'
import { createLink, createVeth, type Link, type Namespace } from '../../dist/index.js'
import { type Kind, kindOf } from '../../dist/rtnetlink/kinds/registry.js'
import { needs } from './needs.js'
import { ip, ipDo, scratch } from './scratch.js'

type Options = Readonly<Record<string, unknown>>

/** One way to make a tunnel. `under` is the name of a link that tunnels may stand on. */
export interface Row {
  /** What netkit is told. */
  options: Options
  /** What iproute2 is told, after `type KIND`; undefined when this iproute2 has no words for it. */
  words?: string
  /** What netkit says of it, where that is not what it was told. */
  reads?: Options
  /** What iproute2 shows in its `info_data`; undefined keys must not be there. */
  shows?: Options
  /** What it takes besides the kind, as `needs` has it. */
  takes?: string
  /** A link with these options, when changed to `options`, reads the same. */
  from?: Options
  /** It takes the modules fou and fou6, which the kernel does not load by itself. */
  fou?: true
}

const none = (options: Options) =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))

async function make(namespace: Namespace, kind: string, name: string, options: Options): Promise<Link> {
  return createLink({ kind, name, namespace, ...options } as Parameters<typeof createLink>[0])
}

async function infoOf(namespace: Namespace, name: string): Promise<Options> {
  const [json] = await ip(namespace, 'link', 'show', name)
  return json.linkinfo.info_data ?? {}
}

/** Options as they compare: indexes by what they are of. */
function comparable(options: object, under: number): Options {
  const device = (options as { device?: number }).device
  return { ...options, ...(device === undefined ? {} : { device: device === under ? 'under' : device }) }
}

/**
 * Proves the rows of a kind, each in a subtest of its own, in a namespace that has a link `under`. `alike`: iproute2 leaves to the
 * kernel what it is not told, so that what both make is the same in everything. `excused`: options
 * that no row has.
 */
export async function proveTunnel(
  t: Test,
  kind: string,
  rows: readonly Row[],
  { alike = false, excused = [] }: { alike?: boolean; excused?: readonly string[] } = {},
): Promise<void> {
  await t.test(kind, await needs('namespaces', 'ip', `kind:${kind}`), async (t) => {
    const red = await scratch(t)
    const [under] = await createVeth({ name: 'under', namespace: red }, { name: 'other', namespace: red })
    const { options, readOnly = [] } = kindOf(kind) as Kind
    const proved = new Set(rows.flatMap((row) => Object.keys(row.options)))
    const forgotten = options.keys.filter(
      (key) => !proved.has(key) && !readOnly.includes(key) && !excused.includes(key),
    )
    t.same(forgotten, [], 'every option has a row')
    for (const row of rows) {
      const label = JSON.stringify(row.options, (_, value) => (typeof value === 'bigint' ? String(value) : value))
      await t.test(label, await needs(...(row.takes === undefined ? [] : [row.takes])), async (t) => {
        // The kernel loads a module by the name of a link that is asked for by ioctl; there is no such link, and that is an error.
        if (row.fou === true) await red.exec('ip', ['-6', 'tunnel', 'show', 'fou6'])
        await proveRow(t, red, kind, row, under.index, alike)
      })
    }
  })
}

async function proveRow(t: Test, red: Namespace, kind: string, row: Row, under: number, alike: boolean): Promise<void> {
  const { options, words, reads = options, shows = {}, from } = row
  const expected = comparable(reads, -1)

  const own = await make(red, kind, 'own', options)
  const said = comparable(own.options, under)
  t.match(said, expected, 'netkit reads what it made')
  const shown = await infoOf(red, 'own')
  t.match(shown, none(shows), 'iproute2 shows it')
  for (const key of Object.keys(shows)) if (shows[key] === undefined) t.notOk(key in shown, `no ${key}`)
  const ensured = await red.links.ensure({ kind, name: 'own', ...options } as never)
  t.same(ensured.changes, [], 'it is as asked')
  await own.delete()

  if (words !== undefined) {
    await ipDo(red, 'link', 'add', 'theirs', 'type', kind, ...words.split(' '))
    const theirs = await red.links.get('theirs')
    const read = comparable(theirs.options, under)
    t.match(read, expected, 'netkit reads what iproute2 made')
    if (alike) t.same(read, said, 'both are the same')
    await theirs.delete()
  }

  if (from !== undefined) {
    const changing = await make(red, kind, 'changing', from)
    // A port of UDP stays as it is.
    const { port: _, ...changes } = options
    await changing.set(changes as Parameters<Link['set']>[0])
    t.match(comparable(changing.options, under), expected, 'a change to it')
    t.match(await infoOf(red, 'changing'), none(shows), 'as iproute2 shows it')
    await changing.delete()
  }
}
