package io.crescendo.cuda;

/**
 * How many blocks a launch has.
 *
 * @param x blocks along the rows or elements
 * @param y blocks side by side over the channels
 */
record Grid(int x, int y) {}
