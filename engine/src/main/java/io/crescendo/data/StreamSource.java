package io.crescendo.data;

import io.crescendo.backend.ImageSource;

/** What a batch stream reads and how, for a device that makes the batches itself. */
record StreamSource(
        Dataset dataset, Normalization normalization, Augmentation augmentation, SampleOrder permutation, long seed)
        implements ImageSource {
    @Override
    public String name() {
        return dataset.name();
    }

    @Override
    public int samples() {
        return dataset.size();
    }

    @Override
    public int channels() {
        return dataset.shape().channels();
    }

    @Override
    public int height() {
        return dataset.shape().height();
    }

    @Override
    public int width() {
        return dataset.shape().width();
    }

    @Override
    public int classes() {
        return dataset.classes();
    }

    @Override
    public void copyImage(int sample, byte[] destination, int offset) {
        dataset.copyImage(sample, destination, offset);
    }

    @Override
    public int label(int sample) {
        return BatchFiller.label(dataset, sample);
    }

    @Override
    public float[] table() {
        return normalization.table();
    }

    @Override
    public int[] order(long epoch) {
        int[] order = new int[dataset.size()];
        for (int position = 0; position < order.length; position++) {
            order[position] = permutation.sample(epoch, position);
        }
        return order;
    }

    @Override
    public int padding() {
        return augmentation.padding();
    }

    @Override
    public boolean flip() {
        return augmentation.flip();
    }
}
