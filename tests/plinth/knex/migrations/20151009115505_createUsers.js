exports.up = (knex) =>
  knex.schema.createTable("users", (table) => {
    table.increments("id").primary();
    table.timestamp("createdAt").notNullable();
    table.timestamp("updatedAt");
    table.timestamp("deletedAt");
    table.string("firstName");
    table.string("lastName");
    table.string("email");
  });

exports.down = (knex) => knex.schema.dropTable("users");
