package io.crescendo.models.data;

import io.crescendo.data.Dataset;

/** The images a network learns from and the images it is judged by; both of one shape and with the same classes. */
public record DataSplit(Dataset training, Dataset test) {
    public DataSplit {
        if (!training.shape().equals(test.shape()) || training.classes() != test.classes()) {
            throw new IllegalArgumentException("'" + training.name() + "' has " + training.shape() + " and "
                    + training.classes() + " classes, '" + test.name() + "' has " + test.shape() + " and "
                    + test.classes() + "; a split needs the same of both");
        }
    }
}
