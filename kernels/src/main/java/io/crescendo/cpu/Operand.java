package io.crescendo.cpu;

import io.crescendo.autograd.Home;
import io.crescendo.autograd.Value;

/**
 * A tensor that an operation reads or writes: how it lies, and where, as far as that is known before binding.
 *
 * @param layout the order of its elements
 * @param place where its first byte is
 */
record Operand(Layout layout, Place place) {
    /** Another view that starts some bytes further on. */
    Operand part(Layout partLayout, long byteOffset) {
        return new Operand(partLayout, place.plus(byteOffset));
    }

    /** Where something lies, in words that outlive a change of address. */
    sealed interface Place {
        Place plus(long bytes);

        /** In the arena, where the planner puts the value. */
        record InArena(Value value, long byteOffset) implements Place {
            @Override
            public Place plus(long bytes) {
                return new InArena(value, byteOffset + bytes);
            }
        }

        /** In the scratch memory of one operation. */
        record InScratch(int opIndex, long byteOffset) implements Place {
            @Override
            public Place plus(long bytes) {
                return new InScratch(opIndex, byteOffset + bytes);
            }
        }

        /** In one of the model's packs. */
        record InPack(Home home, long byteOffset) implements Place {
            @Override
            public Place plus(long bytes) {
                return new InPack(home, byteOffset + bytes);
            }
        }

        /** In memory of the executable's own, which holds a kept value of all shards. */
        record InKept(NativeMemory memory, long byteOffset, long bytesPerSample) implements Place {
            @Override
            public Place plus(long bytes) {
                return new InKept(memory, byteOffset + bytes, bytesPerSample);
            }
        }

        /** In the fed images, which lie elsewhere at every run. */
        record InImages(long byteOffset, long bytesPerSample) implements Place {
            @Override
            public Place plus(long bytes) {
                return new InImages(byteOffset + bytes, bytesPerSample);
            }
        }
    }
}
