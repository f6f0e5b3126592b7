// libpq's variables say which server and database.
module.exports = {
  client: "pg",
  connection: {},
  migrations: { tableName: "migrations" },
};
