package io.crescendo.cuda;

import io.crescendo.backend.UpdateRule;
import io.crescendo.tensor.Parameter;
import io.crescendo.tensor.ParameterPack;
import java.util.ArrayList;
import java.util.List;

/**
 * LARS and LAMB as two launches over all tensors (layerwise.cu): one for their norms, one for the step.
 *
 * <p>Tensors are cut into pieces, so that a large one is shared by many blocks and a block has to do with one only.
 */
final class LayerwiseUpdate {
    /** Sixteen elements for each thread of a block. */
    private static final int PIECE_ELEMENTS = 4096;

    private static final int PIECE_INTS = 4; // Piece of layerwise.cu

    private final CudaBackend backend;
    private final int pieceCount;
    private final int tensors;
    private final DeviceBlock pieces;
    private final DeviceBlock firstPiece;
    private final DeviceBlock partials;
    private final DeviceBlock localRates;

    LayerwiseUpdate(CudaBackend backend, CudaScope scope, ParameterPack parameters) {
        this.backend = backend;
        this.tensors = parameters.parameters().size();
        int[] first = new int[tensors + 1];
        int[] table = table(parameters, first);
        this.pieceCount = first[tensors];
        this.pieces = scope.own(DeviceBlock.allocate("the pieces of tensors", (long) Integer.BYTES * table.length));
        this.firstPiece = scope.own(DeviceBlock.allocate("the pieces of tensors", (long) Integer.BYTES * first.length));
        this.partials = scope.own(DeviceBlock.allocate("the norms of pieces", 2L * Double.BYTES * pieceCount));
        this.localRates = scope.own(DeviceBlock.allocate("local rates", (long) Float.BYTES * tensors));
        backend.transfer().write(table, pieces.address());
        backend.transfer().write(first, firstPiece.address());
    }

    /** Every tensor's pieces in order; {@code first} receives where each tensor's begin. */
    static int[] table(ParameterPack parameters, int[] first) {
        List<Integer> table = new ArrayList<>();
        for (int tensor = 0; tensor + 1 < first.length; tensor++) {
            Parameter parameter = parameters.parameters().get(tensor);
            for (long from = parameter.offset(); from < parameter.end(); from += PIECE_ELEMENTS) {
                table.add((int) from);
                table.add((int) (from >>> Integer.SIZE));
                table.add((int) Math.min(PIECE_ELEMENTS, parameter.end() - from));
                table.add(tensor);
            }
            first[tensor + 1] = table.size() / PIECE_INTS;
        }
        return table.stream().mapToInt(i -> i).toArray();
    }

    /** Where the packs and the numbers of an update lie; a shadow of 0 is none. */
    record Place(long weights, List<Long> state, long gradients, long shadow, long scalars, long decayed, long skip) {}

    List<Kernels.Call> lars(UpdateRule.Lars rule, Place at) {
        return List.of(
                call(
                        "lars_norms",
                        at.weights,
                        at.gradients,
                        pieces.address(),
                        pieceCount,
                        firstPiece.address(),
                        tensors,
                        at.scalars,
                        at.decayed,
                        partials.address(),
                        localRates.address(),
                        backend.tickets(),
                        (float) rule.trust()),
                call(
                        "update_lars",
                        at.weights,
                        at.state.get(0),
                        at.gradients,
                        at.shadow,
                        pieces.address(),
                        pieceCount,
                        localRates.address(),
                        at.scalars,
                        at.decayed,
                        at.skip,
                        1));
    }

    List<Kernels.Call> lamb(UpdateRule.Lamb rule, Place at) {
        return List.of(
                call(
                        "lamb_norms",
                        at.weights,
                        at.state.get(0),
                        at.state.get(1),
                        at.gradients,
                        pieces.address(),
                        pieceCount,
                        firstPiece.address(),
                        tensors,
                        at.scalars,
                        at.decayed,
                        at.skip,
                        1,
                        partials.address(),
                        localRates.address(),
                        backend.tickets(),
                        (float) rule.beta2(),
                        (float) (1 - rule.beta2()),
                        (float) rule.epsilon()),
                call(
                        "update_lamb",
                        at.weights,
                        at.state.get(0),
                        at.state.get(1),
                        at.shadow,
                        pieces.address(),
                        pieceCount,
                        localRates.address(),
                        at.scalars,
                        at.decayed,
                        at.skip,
                        (float) rule.epsilon()));
    }

    private Kernels.Call call(String name, Object... arguments) {
        return backend.device().kernels().call(name, backend.blocksOf(pieceCount), 1, arguments);
    }
}
