package io.crescendo.backend;

import java.nio.FloatBuffer;
import java.nio.IntBuffer;

/**
 * What one run of a program reads from outside.
 *
 * @param images (N, C, H, W) float32, direct and in native byte order, read from index 0; must stay unchanged until
 *     {@link Executable#run} returns
 * @param labels (N) class numbers, direct and in native byte order, read from index 0; empty for programs without a
 *     loss
 * @param samples N
 * @param firstSample number of the first sample on the training clock; keys dropout
 * @param seed the run's seed; keys dropout
 */
public record Feed(FloatBuffer images, IntBuffer labels, int samples, long firstSample, long seed) {}
