package io.crescendo.cli.figures;

/**
 * A drawn figure.
 *
 * @param name of its files, without extension
 * @param caption one sentence
 * @param svg the drawing
 */
public record Figure(String name, String caption, String svg) {}
