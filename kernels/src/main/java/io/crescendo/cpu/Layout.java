package io.crescendo.cpu;

import static org.bytedeco.dnnl.global.dnnl.*;

import java.util.Arrays;
import java.util.List;
import org.bytedeco.dnnl.dnnl_memory_desc;

/**
 * How the elements of one tensor lie in memory: oneDNN's memory descriptor with its extents.
 *
 * <p>A <em>plain</em> layout is row-major. In a <em>blocked</em> one, 8 or 16 channels lie together, so that they fill
 * a vector register; an odd number of channels is padded with zeros. Every layout used here keeps the samples
 * outermost, so the tensor of a few samples is a contiguous slice.
 */
final class Layout {
    private static final List<Integer> IMAGE_TAGS = List.of(dnnl_nChw16c, dnnl_nChw8c, dnnl_nhwc, dnnl_nChw4c);

    private final dnnl_memory_desc descriptor;
    private final long[] extents;
    private final int tag;

    private Layout(dnnl_memory_desc descriptor, long[] extents, int tag) {
        this.descriptor = descriptor;
        this.extents = extents;
        this.tag = tag;
    }

    /** Row-major. */
    static Layout plain(NativeScope scope, long... extents) {
        return tagged(scope, plainTag(extents.length), extents);
    }

    /** Whatever the primitive that is created next prefers. */
    static Layout any(NativeScope scope, long... extents) {
        return tagged(scope, dnnl_format_tag_any, extents);
    }

    /** The same kind of layout as {@code model}, for other extents. */
    static Layout like(NativeScope scope, Layout model, long... extents) {
        return tagged(
                scope,
                model.tag == dnnl_format_tag_undef || model.extents.length != extents.length
                        ? plainTag(extents.length)
                        : model.tag,
                extents);
    }

    /** Images (N, C, H, W) with 8 or 16 channels side by side. */
    static Layout blockedImages(NativeScope scope, int block, long... extents) {
        return tagged(scope, block == 16 ? dnnl_nChw16c : dnnl_nChw8c, extents);
    }

    /** Filters (G, K, C, R, S) in squares of 8 or 16 input by as many output channels, the outputs side by side. */
    static Layout blockedFilters(NativeScope scope, int block, long... extents) {
        return tagged(scope, block == 16 ? dnnl_gOIhw16i16o : dnnl_gOIhw8i8o, extents);
    }

    private static Layout tagged(NativeScope scope, int tag, long... extents) {
        dnnl_memory_desc descriptor = new dnnl_memory_desc();
        OneDnn.check(
                dnnl_memory_desc_create_with_tag(descriptor, extents.length, extents, dnnl_f32, tag),
                "describe a tensor of extents " + Arrays.toString(extents));
        scope.onClose(() -> dnnl_memory_desc_destroy(descriptor));
        return new Layout(descriptor, extents.clone(), tag);
    }

    /** A copy of a descriptor that belongs to a primitive; not always of floats, a workspace is just bytes. */
    static Layout copyOf(NativeScope scope, dnnl_memory_desc owned, long... extents) {
        dnnl_memory_desc descriptor = new dnnl_memory_desc();
        OneDnn.check(dnnl_memory_desc_clone(descriptor, owned), "copy a memory descriptor");
        scope.onClose(() -> dnnl_memory_desc_destroy(descriptor));
        return new Layout(descriptor, extents.clone(), recognise(descriptor, extents));
    }

    /** A part of a tensor, seen inside the whole. */
    static Layout slice(NativeScope scope, Layout whole, long[] extents, long[] offsets) {
        dnnl_memory_desc descriptor = new dnnl_memory_desc();
        OneDnn.check(
                dnnl_memory_desc_create_submemory(descriptor, whole.descriptor, extents, offsets),
                "cut " + Arrays.toString(extents) + " at " + Arrays.toString(offsets) + " out of "
                        + Arrays.toString(whole.extents));
        scope.onClose(() -> dnnl_memory_desc_destroy(descriptor));
        return new Layout(descriptor, extents.clone(), dnnl_format_tag_undef);
    }

    private static int recognise(dnnl_memory_desc descriptor, long[] extents) {
        if (extents.length == 0 || dnnl_memory_desc_get_size(descriptor) == 0) {
            return dnnl_format_tag_undef;
        }
        try (NativeScope scope = new NativeScope()) {
            int plain = plainTag(extents.length);
            if (dnnl_memory_desc_equal(tagged(scope, plain, extents).descriptor, descriptor) != 0) {
                return plain;
            }
            if (extents.length == 4) {
                for (int tag : IMAGE_TAGS) {
                    if (dnnl_memory_desc_equal(tagged(scope, tag, extents).descriptor, descriptor) != 0) {
                        return tag;
                    }
                }
            }
        }
        return dnnl_format_tag_undef;
    }

    private static int plainTag(int rank) {
        return switch (rank) {
            case 1 -> dnnl_a;
            case 2 -> dnnl_ab;
            case 3 -> dnnl_abc;
            case 4 -> dnnl_abcd;
            case 5 -> dnnl_abcde;
            default -> throw new IllegalArgumentException("tensors have 1 to 5 dimensions here, not " + rank);
        };
    }

    dnnl_memory_desc descriptor() {
        return descriptor;
    }

    long[] extents() {
        return extents.clone();
    }

    /** Bytes in memory, padding included. */
    long bytes() {
        return dnnl_memory_desc_get_size(descriptor);
    }

    boolean isPlain() {
        return extents.length > 0 && tag == plainTag(extents.length);
    }

    /** Whether both describe the same extents in the same order. */
    boolean sameAs(Layout other) {
        return dnnl_memory_desc_equal(descriptor, other.descriptor) != 0;
    }

    @Override
    public String toString() {
        return Arrays.toString(extents) + (isPlain() ? " plain" : " tag " + tag);
    }
}
