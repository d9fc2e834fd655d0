package io.crescendo.cpu;

import static org.bytedeco.dnnl.global.dnnl.*;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.ToIntFunction;
import org.bytedeco.dnnl.dnnl_primitive_attr;
import org.bytedeco.dnnl.dnnl_primitive_desc;

/** Products of C by K matrices with tiles, one or 36 of them, as a grouped convolution of 1×1 filters over a row. */
final class WinogradProducts {
    private static final long[] ONES = {1, 1};
    private static final long[] ZEROS = {0, 0};

    private final SectionLowering section;
    final Layout source;
    final Layout weights;
    final Layout destination;

    /**
     * For points of images in blocks of channels.
     *
     * @param points how many products
     * @param inputs C, a multiple of the block
     * @param outputs K, a multiple of the block
     */
    WinogradProducts(SectionLowering section, int block, int points, long inputs, long outputs, long tiles) {
        this.section = section;
        NativeScope scope = section.scope();
        source = Layout.blockedImages(scope, block, 1, points * inputs, 1, tiles);
        weights = Layout.blockedFilters(scope, block, points, outputs, inputs, 1, 1);
        destination = Layout.blockedImages(scope, block, 1, points * outputs, 1, tiles);
    }

    Optional<dnnl_primitive_desc> forward(OpPlan plan) {
        dnnl_primitive_attr attributes = plan.attributes();
        return chooseOnOneThread(
                plan,
                chosen -> dnnl_convolution_forward_primitive_desc_create(
                        chosen,
                        section.oneDnn().engine,
                        dnnl_forward_training,
                        dnnl_convolution_direct,
                        source.descriptor(),
                        weights.descriptor(),
                        null,
                        destination.descriptor(),
                        ONES,
                        ZEROS,
                        ZEROS,
                        ZEROS,
                        attributes));
    }

    Optional<dnnl_primitive_desc> weightGradient(OpPlan plan) {
        dnnl_primitive_attr attributes = plan.attributes();
        return forward(plan)
                .flatMap(hint -> chooseOnOneThread(
                        plan,
                        chosen -> dnnl_convolution_backward_weights_primitive_desc_create(
                                chosen,
                                section.oneDnn().engine,
                                dnnl_convolution_direct,
                                source.descriptor(),
                                weights.descriptor(),
                                null,
                                destination.descriptor(),
                                ONES,
                                ZEROS,
                                ZEROS,
                                ZEROS,
                                hint,
                                attributes)));
    }

    private Optional<dnnl_primitive_desc> chooseOnOneThread(OpPlan plan, ToIntFunction<dnnl_primitive_desc> create) {
        List<dnnl_primitive_desc> found = new ArrayList<>();
        section.backend().onOneThread(() -> plan.chooseCompiled(create).ifPresent(found::add));
        return found.stream().findFirst();
    }
}
