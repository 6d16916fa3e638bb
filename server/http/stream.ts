/** Bodies of answers that are made while they are read: one part at a time, the next when the reader has taken it. */

/**
 * A body out of parts. When the reader goes away, the source is told to end.
 * @param onError told what the source threw, which the reader only notices as a stream that breaks off
 */
export function bodyOfParts(
  parts: AsyncGenerator<Uint8Array, void, undefined>,
  onError: (error: unknown) => void = () => {},
): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream<Uint8Array<ArrayBuffer>>(
    {
      async pull(controller) {
        try {
          const { done, value } = await parts.next();
          if (done) controller.close();
          else controller.enqueue(value as Uint8Array<ArrayBuffer>);
        } catch (error) {
          onError(error);
          controller.error(error);
        }
      },
      async cancel() {
        await parts.return();
      },
    },
    // Nothing is made ahead of the reader but what it waits for.
    { highWaterMark: 0 },
  );
}
