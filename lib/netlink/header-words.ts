/**
 * Tables of numbers that the kernel's headers name. Each stands once, with how the header calls it: from them come our words and
 * their types, and the test that compiles every one against the headers.
 */

/** [the header's name, our number], of every table: for the test. */
export const allHeaderNames: (readonly [name: string, number: number])[] = []

/** Numbers by the header's own names. */
export function headerConstants<const M extends Readonly<Record<string, number>>>(table: M): M {
  allHeaderNames.push(...Object.entries(table))
  return table
}

/**
 * Numbers by our words. The header's name is `prefix` and the word in capitals, '-' being '_'; `others` has those that are
 * called otherwise, or null where no header for programs has the name.
 */
export function headerWords<const M extends Readonly<Record<string, number>>>(
  prefix: string,
  table: M,
  others: { readonly [K in keyof M]?: string | null } = {},
): M {
  for (const [word, number] of Object.entries(table)) {
    const other = others[word]
    if (other !== null) allHeaderNames.push([other ?? prefix + word.toUpperCase().replaceAll('-', '_'), number])
  }
  return table
}
