package io.crescendo.reference;

import io.crescendo.backend.GradientNorms;
import io.crescendo.backend.ModelMemory;
import java.util.ArrayList;
import java.util.List;

/** Norms of micro-batches' gradients in plain loops. */
final class ReferenceGradientNorms implements GradientNorms {
    private final double[] gradients;
    private final double[] before;
    private final List<Double> squares = new ArrayList<>();
    private double batch;

    ReferenceGradientNorms(ModelMemory model) {
        this.gradients = ReferenceMemory.of(model.gradients()).values();
        this.before = new double[gradients.length];
    }

    @Override
    public void ran(int index, int count) {
        if (index == 0) {
            squares.clear();
        }
        double square = 0;
        batch = 0;
        for (int i = 0; i < gradients.length; i++) {
            double own = index == 0 ? gradients[i] : gradients[i] - before[i];
            square += own * own;
            batch += gradients[i] * gradients[i];
            before[i] = gradients[i];
        }
        squares.add(square);
    }

    @Override
    public Reading take() {
        Squares taken = new Squares(squares, batch);
        return () -> taken;
    }

    @Override
    public void close() {}
}
