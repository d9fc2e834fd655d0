package io.crescendo.models.data;

import io.crescendo.data.ImageShape;

/**
 * What a network must know of a data set.
 *
 * @param images shape of every image
 * @param classes count of labels
 */
public record DataForm(ImageShape images, int classes) {}
