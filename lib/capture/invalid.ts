/** What is wrong with a capture file. */

/** A capture file that is not as it should be. What came before was read. */
export class CaptureError extends Error {
  override readonly name = 'CaptureError'
  /** 'ERR_TRUNCATED_CAPTURE' when the file ends in the middle of a block, as after a crash of the program that wrote it. */
  readonly code: 'ERR_INVALID_CAPTURE' | 'ERR_TRUNCATED_CAPTURE'
  /** Where in the file, in bytes from its beginning: the block or record that is wrong. */
  readonly offset: number

  constructor(code: CaptureError['code'], offset: number, message: string) {
    super(`${message} (at byte ${offset})`)
    this.code = code
    this.offset = offset
  }
}

export function invalid(offset: number, message: string): CaptureError {
  return new CaptureError('ERR_INVALID_CAPTURE', offset, message)
}
