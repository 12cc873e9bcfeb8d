//! Rows in columns.

/// On which side of its column a cell stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Lines of columns as wide as their widest cell, two blanks apart, under their headings. The last
/// column is not padded.
pub(super) fn lines(headings: &[(&str, Side)], rows: &[Vec<String>]) -> Vec<String> {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
        widest.max(headings[column].0.chars().count())
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded =
            cells.zip(headings).zip(&widths).map(|((cell, (_, side)), width)| match side {
                Side::Left => format!("{cell:<width$}"),
                Side::Right => format!("{cell:>width$}"),
            });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let heading = line(&mut headings.iter().map(|(name, _)| *name));
    let rows = rows.iter().map(|row| line(&mut row.iter().map(String::as_str)));
    std::iter::once(heading).chain(rows).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let rows =
            [vec!["web".to_owned(), "1".to_owned()], vec!["a".to_owned(), "1000".to_owned()]];
        let lines = lines(&[("NAME", Side::Left), ("N", Side::Right)], &rows);
        assert_eq!(lines, ["NAME     N", "web      1", "a     1000"]);
    }
}
