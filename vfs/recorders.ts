/** Recorders made of recorders. */
import type { Recorder } from "../src/base/recorder.ts";

/** Reports everything to both. */
export function teeRecorder(a: Recorder, b: Recorder): Recorder {
  return {
    count: (name, add) => {
      a.count(name, add);
      b.count(name, add);
    },
    observe: (name, value) => {
      a.observe(name, value);
      b.observe(name, value);
    },
    span: (name, attributes) => {
      const endA = a.span(name, attributes);
      const endB = b.span(name, attributes);
      return (error) => {
        endA(error);
        endB(error);
      };
    },
  };
}
