package io.crescendo.cuda;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Weight gradients in bf16, which are added to the float32 pack: cuDNN has no method that adds products of bf16
 * activations to float32 itself.
 *
 * <p>Each stays where its convolution left it until the last one has come, and then one launch adds them all, instead
 * of a small one behind every convolution. A weight that several convolutions use has as many summands; those go to
 * launches one after the other, for the threads of one launch do not wait for each other.
 */
final class NarrowGradients {
    /** MOST_SUMMANDS of convolution.cu. */
    static final int MOST_SUMMANDS = 64;

    private static final int ELEMENTS_OF_PACK = 8;

    private NarrowGradients() {}

    /**
     * One gradient.
     *
     * @param sum where it is added: float32 in the pack
     * @param x where it lies: bf16
     * @param elements of both
     */
    record Summand(long sum, long x, long elements) {}

    /** The launch that adds gradients; those of one weight in their order. */
    static Launch launch(Kernels kernels, Grids grids, List<Summand> summands) {
        List<List<Summand>> rounds = new ArrayList<>();
        Map<Long, Integer> seen = new HashMap<>();
        for (Summand summand : summands) {
            int round = seen.merge(summand.sum, 1, Integer::sum) - 1;
            if (round == rounds.size()) {
                rounds.add(new ArrayList<>());
            }
            rounds.get(round).add(summand);
        }
        List<Kernels.Call> calls = new ArrayList<>();
        for (List<Summand> round : rounds) {
            for (int from = 0; from < round.size(); from += MOST_SUMMANDS) {
                List<Summand> part = round.subList(from, Math.min(from + MOST_SUMMANDS, round.size()));
                calls.add(kernels.call(
                        "accumulate_bf16", grids.threads(packs(part)).x(), 1, (Object) words(part)));
            }
        }
        return lane -> {
            for (Kernels.Call call : calls) {
                call.enqueue(lane.stream());
            }
        };
    }

    private static long packs(List<Summand> summands) {
        return summands.stream().mapToLong(NarrowGradients::packs).sum();
    }

    private static long packs(Summand summand) {
        return (summand.elements + ELEMENTS_OF_PACK - 1) / ELEMENTS_OF_PACK;
    }

    /** Summands of convolution.cu, which consists of 64-bit words. */
    static long[] words(List<Summand> summands) {
        long[] words = new long[2 + 4 * MOST_SUMMANDS];
        words[0] = summands.size();
        long before = 0;
        for (int k = 0; k < summands.size(); k++) {
            Summand summand = summands.get(k);
            words[1 + k] = summand.sum;
            words[1 + MOST_SUMMANDS + k] = summand.x;
            words[1 + 2 * MOST_SUMMANDS + k] = summand.elements;
            before += packs(summand);
            words[1 + 3 * MOST_SUMMANDS + k + 1] = before;
        }
        return words;
    }
}
